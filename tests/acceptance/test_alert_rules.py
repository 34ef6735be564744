"""The alert rules do what their cases say, and no number in them could be another one.

Each alert has a file of cases, under its name. They hold with the whole set of rules, as an operator runs
them; with its alert alone, and one number of it changed, they do not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.alerts import CASES, OBSERVABILITY, RULES, alerts, failing, mutants
from tests.support.promtool import run_promtool


def test_the_rules_are_rules_and_their_cases_hold() -> None:
    checked = run_promtool("check", "rules", *map(str, RULES))
    held = run_promtool("test", "rules", *map(str, CASES))

    assert checked.returncode == 0, checked.stderr
    assert held.returncode == 0, held.stdout + held.stderr


def test_the_configuration_is_one() -> None:
    checked = run_promtool("check", "config", "--syntax-only", str(OBSERVABILITY / "prometheus.yml"))

    assert checked.returncode == 0, checked.stderr


def test_every_alert_has_cases_and_the_other_way_round() -> None:
    assert {path.stem for path in CASES} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_a_number_that_is_changed_is_noticed(name: str, tmp_path: Path) -> None:
    rule = alerts()[name]
    changed = dict(mutants(rule))

    failed = failing({"as it is": rule, **changed}, OBSERVABILITY / "tests" / f"{name}.yml", tmp_path)

    assert len(changed) >= 2
    assert failed == set(changed)
