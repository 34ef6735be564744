"""How many runs wait or are stuck in the whole system, as gauges of this process.

Every process tells the same figures, so whoever adds them up takes the largest. A figure that is older than
`FRESH_S` is told no more: when the database is away the truth is not known, and NaN says so.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import HeavyError
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.runs.timing import QUEUE_DEADLINE_S

__all__ = ["Backlog"]

EVERY_S: Final = 15.0
ASK_S: Final = 10.0
FRESH_S: Final = 60.0
# The reaper comes every second; what it has not seen for so long, it will not see.
GRACE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    queued: float
    oldest_queued_s: float
    stuck: float


class Backlog:
    """A service: asks the database, and is asked by whoever reads the metrics."""

    def __init__(self, db: Database, *, metrics: Metrics, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._seen = _Seen(-math.inf, math.nan, math.nan, math.nan)
        self._tasks = TaskOwner("backlog")
        self._show(metrics.queued_runs, "queued")
        self._show(metrics.oldest_queued_seconds, "oldest_queued_s")
        self._show(metrics.stuck_leases, "stuck")

    async def start(self) -> None:
        self._tasks.every("ask", seconds=EVERY_S, work=self.ask)

    async def drain(self) -> None:
        """Go on asking: whoever drains is watched as well."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def ask(self) -> None:
        """Take the figures anew; if they cannot be had, the old ones count until they are too old."""
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._db.call(
                    "switchyard_runs_backlog", grace_s=GRACE_S, queue_deadline_s=QUEUE_DEADLINE_S
                )
        except (HeavyError, TimeoutError):
            # Whether the database is away is for the readiness check to say.
            return
        self._seen = _Seen(
            self._clock.monotonic(), answer["queued"], answer["oldest_queued_ms"] / 1000, answer["stuck"]
        )

    def _show(self, gauge: Gauge, name: str) -> None:
        gauge.set_function(lambda: self._figure(name))

    def _figure(self, name: str) -> float:
        is_fresh = self._clock.monotonic() - self._seen.at_s <= FRESH_S
        return float(getattr(self._seen, name)) if is_fresh else math.nan
