"""A machine whose clock is far from the database's is not ready, says why, and goes by the database's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from foundation.clock import GuidedClock
from foundation.db import PoolDatabase
from foundation.errors import NotConfigured
from heavy_agents.runs import DatabaseCheck


class WrongClock(GuidedClock):
    def __init__(self, wrong_by: timedelta) -> None:
        super().__init__()
        self.wrong_by = wrong_by

    def own_now(self) -> datetime:
        return datetime.now(UTC) + self.wrong_by


@pytest.mark.parametrize("hours", [-25, -1, 1, 25])
async def test_a_clock_that_is_far_off_is_told_and_put_right(database_url: str, hours: int) -> None:
    clock, db = WrongClock(timedelta(hours=hours)), PoolDatabase(database_url, size=1)
    await db.start()
    try:
        with pytest.raises(NotConfigured, match=r"clock is \d+ s away"):
            await DatabaseCheck(db, clock)()

        assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=25)

        clock.wrong_by = timedelta(0)
        await DatabaseCheck(db, clock)()
        assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=25)
    finally:
        await db.stop()


async def test_a_clock_that_is_nearly_right_is_left_alone(database_url: str) -> None:
    clock, db = WrongClock(timedelta(seconds=10)), PoolDatabase(database_url, size=1)
    await db.start()
    try:
        await DatabaseCheck(db, clock)()

        assert clock.now() - datetime.now(UTC) > timedelta(seconds=5)
    finally:
        await db.stop()
