"""The end of a process whose connections get no answer from a database that answers others.

A pool can be stuck for good: all of its connections are lent and never come back, or a network in between has
forgotten them. Nobody asks such a process for its health, so it has to end itself to be started again. A
database that is simply away is another matter: to end every replica of an app for that would only make its
return harder. The two are told apart by a connection of its own, outside the pool:

    the pool has answered anybody       all is well
    the new connection is answered      the pool is stuck: some looks in a row, and the process ends
    neither is                          the database is away: stay, be not ready, begin to count anew
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog

from foundation.errors import HeavyError
from foundation.lifecycle import TaskOwner
from foundation.telemetry import end_process

__all__ = ["DatabaseWatchdog", "Watched"]

log = structlog.get_logger(__name__)

EVERY_S: Final = 10.0
LOOKS: Final = 6
REACH_S: Final = 5.0


class Watched(Protocol):
    @property
    def answers(self) -> int:
        """How many calls were answered, whatever was said."""

    # Any: as `Database.call`.
    async def call(self, function: str, /) -> Any: ...

    async def is_reachable(self, *, within_s: float) -> bool:
        """Whether the database answers on a connection that is opened for this only."""


class DatabaseWatchdog:
    """A lifecycle service, one for each pool.

    Args:
        every_s: between two looks; a call that takes longer counts as not answered.
        looks: so many in a row that find the pool stuck are the end.
        end: what is done then; ends the process by default.
    """

    def __init__(
        self,
        db: Watched,
        *,
        every_s: float = EVERY_S,
        looks: int = LOOKS,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._db = db
        self._every_s = every_s
        self._looks = looks
        self._end = end if end is not None else _end
        self._found_stuck = 0
        self._tasks = TaskOwner("database_watchdog")

    async def start(self) -> None:
        self._tasks.every("look", seconds=self._every_s, work=self._look)

    async def drain(self) -> None:
        """Go on; how long a drain may take is somebody else's business."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _look(self) -> None:
        if await self._is_answered() or not await self._db.is_reachable(within_s=REACH_S):
            self._found_stuck = 0
            return
        self._found_stuck += 1
        log.warning("database_pool_stuck", looks=self._found_stuck, end_after=self._looks)
        if self._found_stuck == self._looks:
            self._end()

    async def _is_answered(self) -> bool:
        """Whether anybody was, while this asked as well: who comes last in a long queue is not stuck."""
        before = self._db.answers
        with suppress(HeavyError, TimeoutError):
            async with asyncio.timeout(self._every_s):
                await self._db.call("switchyard_clock")
        return self._db.answers != before


def _end() -> None:
    end_process("database_pool_stands_still")
