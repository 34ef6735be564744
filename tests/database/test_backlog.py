"""The gauges of what waits and what is stuck tell what the database said a moment ago, or nothing."""

from __future__ import annotations

import math

from foundation.telemetry import Metrics
from heavy_agents.runs import Backlog
from heavy_agents.runs.backlog import FRESH_S
from tests.support.clock import HandClock
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.sql import talking


def figures(metrics: Metrics) -> list[float]:
    names = ("heavy_agent_queued_runs", "heavy_agent_oldest_queued_seconds", "heavy_agent_stuck_leases")
    found = [metrics.registry.get_sample_value(name) for name in names]
    return [value for value in found if value is not None]


async def test_figures_are_told_until_they_are_too_old(database_server: DatabaseServer) -> None:
    metrics, clock = Metrics(), HandClock()
    url = await fresh_database(database_server)
    async with talking(url) as sql:
        await sql.queued(await sql.user())
        backlog = Backlog(sql.database, metrics=metrics, clock=clock)
        before = figures(metrics)
        await backlog.ask()
        told = figures(metrics)

    await backlog.ask()  # of a database that is away
    clock.seconds += FRESH_S
    still = figures(metrics)
    clock.seconds += 1
    await drop(database_server, url)

    assert [math.isnan(value) for value in [*before, *figures(metrics)]] == [True] * 6
    assert (told[0], told[2]) == (1, 0)
    assert 0 <= told[1] < FRESH_S
    assert still == told
