"""What any process does for all: requeue the runs of workers that are gone, and remove runs long ended."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.timing import QUEUE_DEADLINE_S, REAP_S

__all__ = ["Reaper"]

log = structlog.get_logger(__name__)

REAP_BATCH = 100
PURGE_BATCH = 500


class Reaper:
    """`wake` is called when a run has come back to the queue."""

    def __init__(self, db: Database, ends: Ends, *, retention_days: int, wake: Callable[[], None]) -> None:
        self._db = db
        self._ends = ends
        self._retention_days = retention_days
        self._wake = wake

    async def reap(self) -> None:
        # Replicas must not all ask in the same moment.
        await asyncio.sleep(random.uniform(0, REAP_S / 2))  # noqa: S311 - no secret
        try:
            reaped = await self._db.call(
                "switchyard_runs_reap", limit=REAP_BATCH, queue_deadline_s=QUEUE_DEADLINE_S
            )
        except DatabaseUnavailable:
            return
        for row in reaped:
            log.warning("run_reaped", run_id=row["run_id"], outcome=row["outcome"])
            self._ends.count_reaped(row)
        if reaped:
            self._wake()

    async def purge(self) -> None:
        """Batch after batch, and after each a rest as long as it took, which is for the runs that go on."""
        has_more = True
        while has_more:
            began_s = time.monotonic()
            try:
                answer = await self._db.call(
                    "switchyard_runs_purge", keep_days=self._retention_days, limit=PURGE_BATCH
                )
            except DatabaseUnavailable:
                return
            # A database that is older than this release does not say.
            has_more = answer.get("more", answer["runs"] == PURGE_BATCH)
            await asyncio.sleep(time.monotonic() - began_s)
