"""Every fault with its small N, and some of the guards taken away: `SWITCHYARD_SEED` chooses which.

What is asserted are violations, never times: how long a recovery takes is in `docs/reliability.md`.
"""

from __future__ import annotations

import random

import pytest

from tests.hardening.catalogue import FAULTS
from tests.hardening.fault import Fault, Mutation
from tests.hardening.run import perform
from tests.support.database import DatabaseServer
from tests.support.process import ROOT
from tests.support.today import SEED

MUTATIONS_A_RUN = 2
COMMAND = "python -m tests.hardening"


def _chosen() -> list[tuple[Fault, Mutation]]:
    """All have had their turn after a month."""
    every = [(fault, mutation) for fault in FAULTS for mutation in fault.mutations]
    random.Random(0).shuffle(every)  # noqa: S311 - no secret
    first = SEED * MUTATIONS_A_RUN
    return [every[place % len(every)] for place in range(first, first + MUTATIONS_A_RUN)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_violates_nothing(fault: Fault, database_server: DatabaseServer) -> None:
    report = await perform(fault, database_server, n=fault.small_n, seed=SEED)

    print(report.line())  # noqa: T201 - to repeat a failure
    assert report.findings.hits > 0
    assert report.findings.told() == []


@pytest.mark.parametrize(
    ("fault", "mutation"), _chosen(), ids=[f"{fault.name}-{mutation.name}" for fault, mutation in _chosen()]
)
async def test_a_guard_taken_away_turns_its_fault_red(
    fault: Fault, mutation: Mutation, database_server: DatabaseServer
) -> None:
    n = mutation.n or fault.small_n
    report = await perform(fault, database_server, n=n, seed=SEED, mutation=mutation)

    print(report.line())  # noqa: T201 - to repeat a failure
    assert report.findings.hits > 0
    assert report.findings.violations


def test_every_fault_has_a_guard_and_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert [fault.name for fault in FAULTS if not fault.mutations] == []


def test_every_fault_has_its_row_on_the_page() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| `") and COMMAND in row]
    told = {row[0].removeprefix("| "): row[1] for row in rows}

    assert told == {f"`{fault.name}`": fault.promise for fault in FAULTS}
