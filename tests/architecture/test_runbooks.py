"""Who is woken by an alert finds under its name what to do."""

from __future__ import annotations

import pytest

from tests.support.alerts import OBSERVABILITY, alerts

OPERATIONS = OBSERVABILITY.parents[1] / "docs" / "operations.md"


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_heading_in_the_operations_manual(name: str) -> None:
    assert f"\n### {name}\n" in OPERATIONS.read_text()
