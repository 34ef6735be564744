"""Whoever watches the metrics sees whether a process is ready, without asking it."""

from __future__ import annotations

import asyncio

from foundation.clock import SystemClock
from foundation.errors import DatabaseUnavailable
from foundation.telemetry import Health, Metrics, Pulse


class Database:
    """A check of something that can be away."""

    def __init__(self) -> None:
        self.is_away = False

    async def __call__(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable("away")


async def hangs() -> None:
    await asyncio.Event().wait()


def value(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


async def test_readiness_is_a_gauge() -> None:
    metrics, database = Metrics(), Database()
    seen = []
    for is_away in (False, True):
        database.is_away = is_away
        health = Health(SystemClock())
        health.register("database", database)
        await Pulse(health, metrics).ask()
        seen.append(value(metrics, "heavy_agent_ready"))

    assert seen == [1, 0]


async def test_a_process_that_drains_is_not_ready_and_says_since_when() -> None:
    health, metrics = Health(SystemClock()), Metrics()
    pulse = Pulse(health, metrics)
    await pulse.ask()
    before = value(metrics, "heavy_agent_ready"), value(metrics, "heavy_agent_draining_seconds")

    health.begin_draining()
    await pulse.drain()

    assert before == (1.0, 0.0)
    assert value(metrics, "heavy_agent_ready") == 0
    assert value(metrics, "heavy_agent_draining_seconds") > 0


async def test_a_drain_asks_nobody_whether_it_is_ready() -> None:
    """Runs wait to be given back meanwhile."""
    health, metrics = Health(SystemClock()), Metrics()
    health.register("database", hangs, timeout_s=60)
    pulse = Pulse(health, metrics)
    metrics.ready.set(1)
    health.begin_draining()

    async with asyncio.timeout(5):
        await pulse.drain()

    assert value(metrics, "heavy_agent_ready") == 0


async def test_the_gauge_is_set_as_soon_as_the_service_has_started() -> None:
    metrics = Metrics()
    pulse = Pulse(Health(SystemClock()), metrics)

    await pulse.start()
    try:
        async with asyncio.timeout(5):
            while value(metrics, "heavy_agent_ready") != 1:
                await asyncio.sleep(0)
    finally:
        await pulse.stop()
