"""What any process does for all: requeue the runs of workers that are gone, and remove runs long ended.

It looks every second or so, and in the moment in which the next lease ends if that is sooner: the leases of
workers that live never come so near to their end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable
from foundation.hints import Queued
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.timing import QUEUE_DEADLINE_S, REAP_S

__all__ = ["Reaper"]

log = structlog.get_logger(__name__)

REAP_BATCH = 100
PURGE_BATCH = 500
# Replicas must not all look in the same moment, which is why all waits vary.
APART = (0.75, 1.25)
AFTER_END_S = 0.1


class Reaper:
    def __init__(
        self,
        db: Database,
        ends: Ends,
        *,
        retention_days: int,
        queued: Callable[[Queued], None],
        ended: Callable[[UUID], None],
    ) -> None:
        """
        Args:
            queued: called for each run that has come back to the queue.
            ended: called for each that has ended.
        """
        self._db = db
        self._ends = ends
        self._retention_days = retention_days
        self._queued = queued
        self._ended = ended

    async def reap_for_ever(self) -> None:
        while True:
            try:
                wait_s = await self.reap()
            except Exception:
                # A loop that ended would leave the runs of dead workers to others, or to nobody.
                log.exception("reaping_failed")
                wait_s = REAP_S
            await asyncio.sleep(wait_s)

    async def reap(self) -> float:
        """Answers the seconds until it is worth looking again."""
        try:
            answer = await self._db.call(
                "switchyard_runs_reap_due", limit=REAP_BATCH, queue_deadline_s=QUEUE_DEADLINE_S
            )
        except DatabaseUnavailable:
            return REAP_S
        for row in answer["reaped"]:
            self._tell(row)
        # There may be more: a batch may have been full, also of runs that cannot be ended.
        return 0.0 if answer["reaped"] else _until_next(answer["next_ms"])

    # Any: a row as the database's JSON gives it.
    def _tell(self, row: Mapping[str, Any]) -> None:
        log.warning("run_reaped", run_id=row["run_id"], outcome=row["outcome"])
        self._ends.count_reaped(row)
        if row["outcome"] == "requeued":
            self._queued(Queued(UUID(row["run_id"]), row["epoch"], row["kind"]))
        else:
            self._ended(UUID(row["run_id"]))

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


def _until_next(next_ms: int | None) -> float:
    """Seconds to wait when the next lease ends in `next_ms`, if there is one."""
    # S311: no secret
    most_s = REAP_S * random.uniform(*APART)  # noqa: S311
    if next_ms is None:
        return most_s
    return min(max(next_ms / 1000, 0.0) + random.uniform(0, AFTER_END_S), most_s)  # noqa: S311
