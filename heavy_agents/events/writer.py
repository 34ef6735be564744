"""The pending events of one run: bounded, merged, numbered, and waiting for the flusher.

States of a writer: open, then either closed (the run ended; nothing is lost) or broken (the lease is gone or
an event could not be stored; whoever emits next is told).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any
from uuid import UUID

from foundation.errors import DatabaseUnavailable, Json
from heavy_agents.events.event import RESERVED, TERMINAL, Draft, Event
from heavy_agents.events.merge import merge
from heavy_agents.events.tidy import MAX_EVENT_BYTES, EventTooLarge, encode, tidy

__all__ = ["LeaseLost", "Writer", "batch_entry"]

BUFFER_BYTES = 1024 * 1024
# What an event takes in memory beside its text; without it a megabyte of single letters would be twenty.
ENTRY_BYTES = 256
FULL_LIMIT_S = 30.0


class LeaseLost(Exception):
    """The run belongs to somebody else now: write nothing, stop at once."""


class Writer:
    """Owns the numbering of one run while its lease holds."""

    def __init__(self, run_id: UUID, token: UUID, *, last_seq: int, notify: Callable[[], None]) -> None:
        self.run_id = run_id
        self.token = token
        self._last_seq = last_seq
        self._notify = notify
        self._pending: list[Draft] = []
        self._pending_bytes = 0
        self._inflight: list[Event] = []
        # Set when nothing more can be stored, with the reason.
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._waiters: list[asyncio.Future[None]] = []
        self._has_only_text = True
        self.text_stored_s = -math.inf  # when a chunk was last stored, as the loop tells the time

    @property
    def is_urgent(self) -> bool:
        """Whether there is more to store than text, or its first words, or somebody waits for it."""
        is_first = self.text_stored_s == -math.inf
        return is_first or not self._has_only_text or bool(self._waiters or self._inflight)

    @property
    def is_dirty(self) -> bool:
        return bool(self._pending or self._inflight) and not self.failure.done()

    # Any: see `tidy`.
    async def emit(self, type_: str, data: dict[str, Any]) -> None:
        """Append one event; waits while 1 MB is pending.

        Raises:
            EventTooLarge, TypeError: the event cannot be stored.
            DatabaseUnavailable: the buffer stayed full for 30 s.
        """
        if type_ in TERMINAL:
            raise ValueError(f"{type_!r} ends a run; only its finish writes it")
        if type_ in RESERVED:
            raise ValueError(f"{type_!r} means something else to a reader; choose another name")
        clean = tidy(data)
        assert isinstance(clean, dict)  # noqa: S101 - tidy keeps a dict a dict
        draft = Draft(type_, clean, len(encode(clean)))
        if draft.size_bytes > MAX_EVENT_BYTES:
            raise EventTooLarge(type_, draft.size_bytes)
        await self._room_for(draft)
        self._check()
        self._pending.append(draft)
        self._pending_bytes += draft.size_bytes + ENTRY_BYTES
        self._has_only_text &= type_ == "chunk"
        self._notify()

    async def flushed(self) -> None:
        """Wait until everything emitted so far is durable."""
        self._notify()
        await self._until(lambda: not (self._pending or self._inflight))
        self._check()

    async def close(self) -> list[Event]:
        """Number what is still pending and hand it over, to be stored together with the end of the run."""
        await self._until(lambda: not self._inflight)
        self._check()
        return self._number()

    def take(self) -> list[Event]:
        """What the flusher should store now: the last batch again if it was not confirmed, else a new one."""
        if not self._inflight:
            self._inflight = self._number()
        return self._inflight

    def confirm(self) -> list[Event]:
        """The batch is durable."""
        stored, self._inflight = self._inflight, []
        if any(event.type == "chunk" for event in stored):
            self.text_stored_s = asyncio.get_running_loop().time()
        self._wake()
        return stored

    def fail(self, reason: Exception) -> None:
        """Nothing more can be stored; everyone waiting is told `reason`. The first reason counts."""
        if not self.failure.done():
            self.failure.set_result(reason)
        self._wake()

    async def _until(self, claim: Callable[[], bool]) -> None:
        """Wait until `claim` is true, or nothing more can be stored."""
        while not (self.failure.done() or claim()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _number(self) -> list[Event]:
        drafts, self._pending, self._pending_bytes = merge(self._pending), [], 0
        self._has_only_text = True
        first = self._last_seq + 1
        self._last_seq += len(drafts)
        return [Event(seq, draft.type, draft.data) for seq, draft in enumerate(drafts, first)]

    async def _room_for(self, draft: Draft) -> None:
        def fits() -> bool:
            return self._pending_bytes + draft.size_bytes + ENTRY_BYTES <= BUFFER_BYTES

        if fits():
            return
        try:
            async with asyncio.timeout(FULL_LIMIT_S):
                await self._until(fits)
        except TimeoutError as error:
            raise DatabaseUnavailable("the run's events could not be stored in time") from error

    def _check(self) -> None:
        if self.failure.done():
            raise self.failure.result()


def batch_entry(writer: Writer, events: list[Event]) -> dict[str, Json]:
    return {
        "run_id": str(writer.run_id),
        "token": str(writer.token),
        "events": [event.to_json() for event in events],
    }
