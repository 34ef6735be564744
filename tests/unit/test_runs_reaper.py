"""The work of any process for all does without a database that is away: readiness says it louder."""

from __future__ import annotations

from foundation.db import PoolDatabase
from foundation.telemetry import Metrics
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.reaper import Reaper


def _unasked(what: object) -> None:
    raise AssertionError(what)


async def test_a_database_that_is_away_is_no_failure_of_the_reaper() -> None:
    away = PoolDatabase("postgresql://nowhere.invalid/x", size=1)
    reaper = Reaper(away, Ends(Metrics(), ()), retention_days=30, queued=_unasked, ended=_unasked)

    await reaper.reap()
    await reaper.purge()
