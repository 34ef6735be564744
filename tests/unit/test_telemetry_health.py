"""A process is ready when every check says so, and says plainly what is wrong when not."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from foundation.errors import DatabaseUnavailable, HeavyError
from foundation.telemetry import Health
from tests.support.clock import HandClock


class Counted:
    """A check that counts how often it is asked and fails with what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.error = error

    async def __call__(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


async def test_a_process_without_checks_is_ready() -> None:
    assert (await Health(HandClock()).readiness()).ready


async def test_all_checks_are_well() -> None:
    health = Health(HandClock())
    health.register("database", Counted())
    health.register("clock", Counted())

    readiness = await health.readiness()

    assert readiness.ready
    assert readiness.checks == {"database": "ok", "clock": "ok"}


async def test_a_failing_check_says_what_is_wrong_beside_those_that_are_well() -> None:
    health = Health(HandClock())
    health.register("database", Counted(DatabaseUnavailable("the database does not answer")))
    health.register("clock", Counted())

    readiness = await health.readiness()

    assert not readiness.ready
    assert readiness.checks == {"database": "the database does not answer", "clock": "ok"}


async def test_what_may_be_missing_is_shown_and_the_process_is_ready() -> None:
    health = Health(HandClock())
    health.register("database", Counted())
    health.register("redis", Counted(HeavyError("Redis does not answer")), is_needed=False)

    readiness = await health.readiness()

    assert readiness.ready
    assert readiness.checks == {"database": "ok", "redis": "Redis does not answer"}


async def test_an_unexpected_error_is_logged_and_its_text_not_shown() -> None:
    health = Health(HandClock())
    health.register("database", Counted(OSError("postgresql://user:canary@host")))

    with capture_logs() as logs:
        readiness = await health.readiness()

    assert readiness.checks == {"database": "failed (OSError); the log says why"}
    assert [line["event"] for line in logs] == ["health_check_failed"]


async def test_a_check_that_hangs_fails_at_its_limit() -> None:
    health = Health(HandClock())

    async def hang() -> None:
        await asyncio.Event().wait()

    health.register("database", hang, timeout_s=0.01)

    assert (await health.readiness()).checks == {"database": "did not answer within 0.01 s"}


async def test_checks_are_asked_at_the_same_time() -> None:
    health, both = Health(HandClock()), asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()

    health.register("one", meet)
    health.register("other", meet)

    assert (await health.readiness()).ready


async def test_a_storm_of_probes_asks_once_a_second() -> None:
    clock, check = HandClock(), Counted()
    health = Health(clock)
    health.register("database", check)

    await asyncio.gather(*(health.readiness() for _ in range(100)))
    clock.seconds += 0.9
    await health.readiness()
    assert check.asked == 1

    clock.seconds += 0.2
    await health.readiness()
    assert check.asked == 2


async def test_a_probe_that_leaves_does_not_spoil_the_next() -> None:
    health, check = Health(HandClock()), Counted()
    health.register("database", check)

    probe = asyncio.create_task(health.readiness())
    while check.asked == 0:
        await asyncio.sleep(0)
    probe.cancel()

    assert (await health.readiness()).ready


async def test_a_draining_process_is_not_ready_at_once() -> None:
    health = Health(HandClock())
    health.register("database", Counted())
    assert (await health.readiness()).ready

    health.begin_draining()

    readiness = await health.readiness()
    assert not readiness.ready
    assert readiness.checks == {"database": "ok", "draining": "this process is shutting down"}


def test_uptime_counts_from_the_start() -> None:
    clock = HandClock()
    health = Health(clock)

    clock.seconds += 42

    assert health.uptime_s == 42
