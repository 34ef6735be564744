"""Ending holds of requests that nobody ended: the edge function, or the process, that held them is gone."""

from __future__ import annotations

import random
from typing import Final

import structlog

from foundation.db import Database
from foundation.errors import HeavyError
from foundation.lifecycle import TaskOwner

__all__ = ["Expiry"]

log = structlog.get_logger(__name__)

# An edge function lives 400 s at most, and an answer here is shorter.
AFTER_S: Final = 15 * 60.0
EVERY_S: Final = 60.0
BATCH: Final = 100


class Expiry:
    """A service of every process: the database lets one at a time do it."""

    def __init__(self, db: Database, *, after_s: float = AFTER_S) -> None:
        self._db = db
        self._after_s = after_s
        self._tasks = TaskOwner("expiry")

    async def start(self) -> None:
        # S311: no secret; processes that started together look apart.
        every_s = EVERY_S * random.uniform(0.75, 1.25)  # noqa: S311
        self._tasks.every("release", seconds=every_s, work=self.release)

    async def drain(self) -> None:
        """Go on: what is left behind is for whoever is there."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def release(self) -> None:
        """Look once, batch after batch."""
        has_more = True
        while has_more:
            try:
                answer = await self._db.call("switchyard_credits_expire", after_s=self._after_s, limit=BATCH)
            except HeavyError as error:
                # Readiness says it louder; before its migration the function is missing.
                log.debug("holds_not_released", code=error.code)
                return
            has_more = answer["more"]
            if answer["released"]:
                log.warning("holds_released", released=answer["released"])
