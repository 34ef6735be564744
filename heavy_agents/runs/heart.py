"""Keeping the leases of one process alive: one statement a second renews all of them.

A beat that is late does not hold up the next, which asks over a connection of its own: the first may wait for
a connection that is dead without knowing it, or for a machine that has too much to do, and its answer counts
all the same when it comes. Each execution stops itself one second before its lease could have ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import structlog

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import DatabaseUnavailable
from foundation.lifecycle import TaskOwner
from heavy_agents.runs.ending import Stop
from heavy_agents.runs.lease import LEASE_S, MARGIN_S, Lease
from heavy_agents.runs.timing import HEARTBEAT_RETRY_S, HEARTBEAT_S

__all__ = ["BEATS_AT_ONCE", "Heart"]

log = structlog.get_logger(__name__)

# A later answer would come after authority has ended.
BEAT_WITHIN_S = LEASE_S - MARGIN_S
BEATS_AT_ONCE = round(BEAT_WITHIN_S / HEARTBEAT_S)


class Leased(Protocol):
    """An execution, as far as its lease goes."""

    @property
    def lease(self) -> Lease: ...

    def stop(self, reason: Stop) -> None: ...


class Heart:
    """`db` has connections of its own, `BEATS_AT_ONCE` of them for this: see `Floor`."""

    def __init__(self, db: Database, *, worker: str, leased: Mapping[UUID, Leased], clock: Clock) -> None:
        """`leased`: the runs of this process, as they are at each beat."""
        self._db = db
        self._worker = worker
        self._leased = leased
        self._clock = clock
        self._beats = TaskOwner("heart")

    async def beat_for_ever(self) -> None:
        try:
            while True:
                beat = self._beats.spawn("beat", self._beat())
                await asyncio.wait({beat}, timeout=HEARTBEAT_S)
                if beat.done():
                    await asyncio.sleep(beat.result())
        finally:
            await self._beats.stop()

    async def _beat(self) -> float:
        """Renew all leases; answers the seconds until the next beat."""
        leases = {str(run_id): str(execution.lease.token) for run_id, execution in self._leased.items()}
        if not leases:
            return HEARTBEAT_S
        sent_at_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(BEAT_WITHIN_S):
                answer = await self._db.call(
                    "switchyard_runs_heartbeat",
                    worker=self._worker,
                    leases=[{"run_id": run_id, "token": token} for run_id, token in leases.items()],
                    lease_s=LEASE_S,
                )
        except Exception as error:
            level, trace = (logging.WARNING, None) if _is_absence(error) else (logging.ERROR, error)
            log.log(level, "heartbeat_failed", runs=len(leases), exc_info=trace)
            return HEARTBEAT_RETRY_S
        return self._heard(answer, asked=leases, sent_at_s=sent_at_s)

    # Any: the answer as the database's JSON gives it.
    def _heard(self, answer: Mapping[str, Any], *, asked: Mapping[str, str], sent_at_s: float) -> float:
        renewed, lost, cancel = set(answer["renewed"]), set(answer["lost"]), set(answer["cancel"])
        for run_id in asked:
            execution = self._leased.get(UUID(run_id))
            if execution is None or str(execution.lease.token) != asked[run_id]:
                continue
            if run_id in lost:
                execution.stop(Stop.LOST)
            elif run_id in renewed:
                execution.lease.renewed(sent_at_s=sent_at_s)
            if run_id in cancel:
                execution.stop(Stop.CANCEL)
        is_complete = len(renewed) + len(lost) == len(asked)
        return HEARTBEAT_S if is_complete else HEARTBEAT_RETRY_S


def _is_absence(error: Exception) -> bool:
    """That the database is away is worth no trace."""
    return isinstance(error, DatabaseUnavailable | TimeoutError)
