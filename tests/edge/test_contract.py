"""That the edge function keeps its contract, and the backend's twin of it: one suite, from outside.

`edge` is the function in a process of its own, `twin` the route of the same name of the backend behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.deno import OFFLINE, deno
from tests.support.pairs import Pairs

FOLDER = Path(__file__).parent / "contract"
CUT = Path(__file__).parent / "cut"
LOST = Path(__file__).parent / "lost"
# What does not depend on who charges is asked once, where the backend does.
OF_OWNERS = frozenset({"money_test.ts", "replays_test.ts"})
SUITES = sorted(path.name for path in FOLDER.glob("*_test.ts"))
CASES = [
    (target, owner, suite)
    for target in ("edge", "twin")
    for owner in ("backend", "caller", "off")
    for suite in SUITES
    if owner == "backend" or suite in OF_OWNERS
]


@pytest.mark.parametrize(("target", "owner", "suite"), CASES)
async def test_the_contract_is_kept(pairs: Pairs, target: str, owner: str, suite: str) -> None:
    pair = await pairs.of(owner)

    await passes(FOLDER / suite, pair.told(target))


async def test_a_run_that_is_cut_at_the_edge_goes_on_at_the_backend(pairs: Pairs) -> None:
    pair = await pairs.of("backend")

    await passes(CUT, {**pair.told("edge"), **pair.settings})


async def test_a_run_whose_acceptance_is_lost_on_the_way_is_paid_for_by_who_asks_again(pairs: Pairs) -> None:
    pair = await pairs.of("caller")

    await passes(LOST, {**pair.told("edge"), **pair.settings})


async def passes(suite: Path, told: Mapping[str, str]) -> None:
    code, said = await deno("test", "--no-check", *OFFLINE, "--allow-env", "--allow-net", str(suite), **told)

    assert code == 0, said
