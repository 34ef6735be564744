"""When the reaper looks again: at once while there was something to do, and by and by otherwise."""

from __future__ import annotations

from uuid import UUID

from foundation.db import PoolDatabase
from foundation.hints import Queued
from foundation.telemetry import Metrics
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.reaper import Reaper
from tests.support.sql import talking


async def test_it_comes_back_at_once_for_what_may_be_left(database_url: str, database: PoolDatabase) -> None:
    queued: list[Queued] = []
    ended: list[UUID] = []
    ends = Ends(Metrics(), ())
    reaper = Reaper(database, ends, retention_days=30, queued=queued.append, ended=ended.append)
    async with talking(database_url) as sql:
        claim = await sql.running(await sql.user())
        await sql.expire(claim["run_id"])

        first_s, then_s = await reaper.reap(), await reaper.reap()

    assert [str(each.run_id) for each in queued] == [claim["run_id"]]
    assert ended == []
    assert first_s == 0.0
    assert then_s > 0.0
