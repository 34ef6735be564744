"""Storing events: one flusher commits the pending events of all runs in one statement.

An idle system flushes at once, a busy one as soon as the last flush has returned; what came meanwhile goes
together. Text goes 100 times a second at most, and under load that of one run 20 times; its first words wait
for nothing. After a lost answer the very same batch is sent again, which stores nothing twice. If the
database refuses a batch, each run's part is tried alone, so that one bad event fails its own run only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable, HeavyError, Json
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.events.hub import Hub
from heavy_agents.events.pace import GAP_S, TEXT_S, has_only_text, ready
from heavy_agents.events.writer import LeaseLost, Writer, batch_entry

__all__ = ["EventLog"]

log = structlog.get_logger(__name__)

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 1.0
BUSY_S = 0.02
# More runs in one statement bring little, and a long one delays everybody in it.
RUNS_A_FLUSH = 256


class EventLog:
    """Service: owns the flusher and the writers of all runs this process executes."""

    def __init__(self, db: Database, *, hub: Hub, metrics: Metrics) -> None:
        self._db = db
        self._hub = hub
        self._metrics = metrics
        self._writers: dict[UUID, Writer] = {}
        self._resting: set[Writer] = set()
        self._dirty = asyncio.Event()
        self._tasks = TaskOwner("events")
        self._next_text_s = 0.0

    async def start(self) -> None:
        self._tasks.spawn("flusher", self._flush_for_ever())

    async def drain(self) -> None:
        """Writers are closed by their runs, not by the log."""

    async def stop(self) -> None:
        await self._tasks.stop()

    def open(self, run_id: UUID, token: UUID, *, last_seq: int) -> Writer:
        """A writer under a lease's token; an earlier one of the same run has lost its lease."""
        if (earlier := self._writers.get(run_id)) is not None:
            earlier.fail(LeaseLost())
        writer = Writer(run_id, token, last_seq=last_seq, notify=self._dirty.set)
        self._writers[run_id] = writer
        self._hub.executes_here(run_id, last_seq=last_seq)
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
            await self._let_text_gather()
            try:
                await self._flush(self._look()[0])
                retry_s = RETRY_FIRST_S
            except Exception as error:
                # Nothing is lost: the same batches are sent again. A flusher that ended would stop every run.
                log.log(_level(error), "flush_failed", retry_s=retry_s, exc_info=_unexpected(error))
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MOST_S)
            due, is_paced = self._look()
            if due:
                self._dirty.set()
            elif is_paced:
                await asyncio.sleep(TEXT_S / 10)
                self._dirty.set()

    async def _let_text_gather(self) -> None:
        """Wait until text may be stored again, or there is more than text."""
        clock = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._next_text_s):
                while clock.time() < self._next_text_s and has_only_text(self._writers.values()):
                    self._dirty.clear()
                    await self._dirty.wait()
        except TimeoutError:
            pass
        self._next_text_s = clock.time() + GAP_S

    def _look(self) -> tuple[list[Writer], bool]:
        awake = [each for each in self._writers.values() if each not in self._resting]
        due, is_paced = ready(awake, now_s=asyncio.get_running_loop().time())
        return due[:RUNS_A_FLUSH], is_paced

    def _rest(self, writer: Writer) -> None:
        """Leave out a run whose row somebody else has locked for a moment."""
        self._resting.add(writer)
        asyncio.get_running_loop().call_later(BUSY_S, self._go_on, writer)

    def _go_on(self, writer: Writer) -> None:
        self._resting.discard(writer)
        self._dirty.set()

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
                writers[0].fail(error)

    async def _store(self, writers: list[Writer]) -> None:
        batch: list[Json] = [batch_entry(writer, writer.take()) for writer in writers]
        with self._metrics.flush_seconds.time():
            answer = await self._db.call("switchyard_events_append", batch=batch)
        lost, busy = _ids(answer["lost"]), _ids(answer["busy"])
        for writer in writers:
            if writer.run_id in lost:
                writer.fail(LeaseLost())
            elif writer.run_id in busy:
                self._rest(writer)
            else:
                stored = writer.confirm()
                self._metrics.events_total.inc(len(stored))
                self._hub.publish(writer.run_id, stored)


def _ids(texts: Iterable[str]) -> set[UUID]:
    return {UUID(text) for text in texts}


def _level(error: Exception) -> int:
    return logging.WARNING if _unexpected(error) is None else logging.ERROR


def _unexpected(error: Exception) -> Exception | None:
    """What is worth a trace: that the database is away is not."""
    return None if isinstance(error, DatabaseUnavailable) else error
