"""Telling once more of runs that still wait: a hint may be lost, or taken by one who dies before the claim.

Every worker looks, each at times of its own, and only while hints arrive; otherwise whoever has room looks
for itself. What two of them find at about the same time counts as told once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable, Json
from foundation.hints import Hints, Queued
from foundation.lifecycle import TaskOwner

__all__ = ["Sweeper"]

log = structlog.get_logger(__name__)

SWEEP_S: Final = 5.0
# Longer than a run waits where somebody has room.
WAITED_S: Final = 1.0
# Whoever is told claims all there is room for, so that a few are as good as all.
BATCH: Final = 100


class Sweeper:
    """A service."""

    def __init__(self, db: Database, hints: Hints, *, kinds: Sequence[str]) -> None:
        """
        Args:
            kinds: those that are executed here; who executes others looks for them.
        """
        self._db = db
        self._hints = hints
        self._kinds: list[Json] = [*kinds]
        self._tasks = TaskOwner("sweeper")

    async def start(self) -> None:
        self._tasks.spawn("sweep", self._sweep_for_ever())

    async def drain(self) -> None:
        """Go on: the runs this process gives back wait for another."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def sweep(self) -> None:
        """Look once."""
        if not self._hints.are_heard:
            return
        waiting = await self._db.call(
            "switchyard_runs_waiting", kinds=self._kinds, after_s=WAITED_S, limit=BATCH
        )
        # The database's clock counts the looks, so that all replicas are at the same one.
        self._hints.queued(
            Queued(UUID(row["run_id"]), row["epoch"], row["kind"], 1 + int(row["waited_ms"] / 1000 / SWEEP_S))
            for row in waiting
        )

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            try:
                await self.sweep()
            except DatabaseUnavailable:
                # Readiness says so.
                continue
            except Exception:
                # A loop that ended would leave it to others, or to nobody.
                log.exception("sweep_failed")
