from __future__ import annotations

from pathlib import Path

import pytest

from foundation.db.pending import Migration, MigrationError, pending


def migrations(*versions: str) -> list[Migration]:
    return [Migration(version, "step", Path(f"{version}_step.sql")) for version in versions]


def test_what_was_not_applied_is_pending_in_order() -> None:
    todo = pending(migrations("30", "10", "20", "100"), {"10": "step"})

    assert [each.version for each in todo] == ["20", "30", "100"]


def test_versions_of_others_do_not_matter() -> None:
    todo = pending(migrations("10", "20"), {"10": "step", "15": "the app's own", "99": "a newer release's"})

    assert [each.version for each in todo] == ["20"]


def test_a_file_older_than_an_applied_one_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"15_step\.sql was not applied, but the later 20_step\.sql was"):
        pending(migrations("10", "15", "20"), {"10": "step", "20": "step"})


def test_a_version_recorded_under_another_name_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"10 is recorded as 'theirs', but 10_step\.sql is another"):
        pending(migrations("10"), {"10": "theirs"})


def test_a_version_recorded_without_a_name_counts_as_applied() -> None:
    assert pending(migrations("10"), {"10": ""}) == []
