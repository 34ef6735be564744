"""Storing events: one flusher commits the pending events of all runs in one statement.

An idle system flushes at once, a busy one as soon as the last flush has returned; what came meanwhile goes
together. After a lost answer the very same batch is sent again, which stores nothing twice. If the database
refuses a batch, each run's part is tried alone, so that one bad event fails its own run only.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable, HeavyError, Json
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.events.hub import Hub
from heavy_agents.events.writer import LeaseLost, Writer, batch_entry

__all__ = ["EventLog"]

log = structlog.get_logger(__name__)

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 1.0
# More runs in one statement bring little, and a long one delays everybody in it.
RUNS_A_FLUSH = 256


class EventLog:
    """Service: owns the flusher and the writers of all runs this process executes."""

    def __init__(self, db: Database, *, hub: Hub, metrics: Metrics) -> None:
        self._db = db
        self._hub = hub
        self._metrics = metrics
        self._writers: dict[UUID, Writer] = {}
        self._dirty = asyncio.Event()
        self._tasks = TaskOwner("events")

    async def start(self) -> None:
        self._tasks.spawn("flusher", self._flush_for_ever())

    async def drain(self) -> None:
        """Writers are closed by their runs, not by the log."""

    async def stop(self) -> None:
        await self._tasks.stop()

    def open(self, run_id: UUID, token: UUID, *, last_seq: int) -> Writer:
        writer = Writer(run_id, token, last_seq=last_seq, notify=self._dirty.set)
        self._writers[run_id] = writer
        self._hub.executes_here(run_id)
        return writer

    def forget(self, writer: Writer) -> None:
        """The run has ended here or moved away."""
        if self._writers.get(writer.run_id) is writer:
            del self._writers[writer.run_id]
            self._hub.left(writer.run_id)

    async def _flush_for_ever(self) -> None:
        retry_s = RETRY_FIRST_S
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._flush(self._due())
                retry_s = RETRY_FIRST_S
            except DatabaseUnavailable:
                log.warning("flush_failed", retry_s=retry_s)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MOST_S)
            if self._due():
                self._dirty.set()

    def _due(self) -> list[Writer]:
        return [writer for writer in self._writers.values() if writer.is_dirty][:RUNS_A_FLUSH]

    async def _flush(self, writers: list[Writer]) -> None:
        if not writers:
            return
        try:
            await self._store(writers)
        except DatabaseUnavailable:
            raise
        except HeavyError as error:
            if len(writers) > 1:
                for writer in writers:
                    await self._flush([writer])
            else:
                log.exception("events_refused", run_id=str(writers[0].run_id))
                await writers[0].break_off(error)

    async def _store(self, writers: list[Writer]) -> None:
        batch: list[Json] = [batch_entry(writer, writer.take()) for writer in writers]
        with self._metrics.flush_seconds.time():
            answer = await self._db.call("switchyard_events_append", batch=batch)
        lost = {UUID(run_id) for run_id in answer["lost"]}
        for writer in writers:
            if writer.run_id in lost:
                await writer.break_off(LeaseLost())
            else:
                stored = await writer.confirm()
                self._metrics.events_total.inc(len(stored))
                self._hub.publish(writer.run_id, stored)
