"""This process among the others: it says that it is there, that it goes, and that it is gone.

A process that is told to go announces by when it will be gone, and takes its word back with its last breath.
Whoever still finds the word afterwards counts an overrun: the counter of the process itself would never be
read again. Nobody can announce anything to a database that does not answer; then only the log tells.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from foundation.db import Database
from foundation.errors import HeavyError
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics

__all__ = ["Announcement", "Capacity", "Presence"]

log = structlog.get_logger(__name__)

SEEN_S = 2.0
# A database that answers needs milliseconds, and runs wait to be given back.
ANNOUNCE_WITHIN_S = 0.1
LEAVE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Runs that are executed now, and how many may be."""

    active: int
    slots: int


class Presence:
    """Service: start it early, so that it stops late. Its `Announcement` belongs on top of all others."""

    def __init__(self, db: Database, *, metrics: Metrics, worker: str, slots: int, drain_s: float) -> None:
        self._db = db
        self._metrics = metrics
        self._worker = worker
        self._slots = slots
        self._drain_s = drain_s
        self._tasks = TaskOwner("presence")
        self.of_all = Capacity(active=0, slots=0)  # of every process together, as last heard

    async def start(self) -> None:
        self._tasks.every("seen", seconds=SEEN_S, work=self._seen)

    async def drain(self) -> None:
        """It has been announced: see `Announcement`."""

    async def stop(self) -> None:
        await self._tasks.stop()
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await self._db.call("switchyard_workers_leave", worker=self._worker)
        except (HeavyError, TimeoutError):
            log.warning("presence_not_taken_back", worker=self._worker)

    async def announce(self) -> None:
        """Say by when this process will be gone; what a slow database takes longer for is not waited for."""
        telling = self._tasks.spawn("announce", self._announce())
        await asyncio.wait({telling}, timeout=ANNOUNCE_WITHIN_S)

    async def _seen(self) -> None:
        try:
            heard = await self._db.call("switchyard_workers_seen", worker=self._worker, slots=self._slots)
        except HeavyError as error:
            # Readiness says it louder; before its migration the function is missing.
            log.debug("presence_not_told", code=error.code)
            return
        self.of_all = Capacity(active=heard["active"], slots=heard["slots"])
        for worker in heard["overdue"]:
            log.error("drain_overran", worker=worker)
            self._metrics.drain_overruns_total.inc()

    async def _announce(self) -> None:
        try:
            await self._db.call("switchyard_workers_drain", worker=self._worker, within_s=self._drain_s)
        except HeavyError as error:
            log.warning("drain_not_announced", code=error.code)


class Announcement:
    """Service: drained first, so that it is known that this process goes before anything is handed over."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence

    async def start(self) -> None:
        """There is nothing to announce yet."""

    async def drain(self) -> None:
        await self._presence.announce()

    async def stop(self) -> None:
        """It is taken back by `Presence`, when all else has stopped."""
