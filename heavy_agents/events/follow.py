"""Reading a run from any number to its end: first the log, then live, back to the log when behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from foundation.db import Database
from heavy_agents.events.event import Event, decode
from heavy_agents.events.hub import Hub, Subscription

__all__ = ["Follower", "Page"]

PAGE_EVENTS = 200
PAGE_BYTES = 1024 * 1024
# What a reader that stops has in its hands; the next page is a round trip away.
PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """Events after a number, oldest first. `latest` is the newest number of the run."""

    events: list[Event]
    latest: int
    is_terminal: bool


class Follower:
    def __init__(self, db: Database, hub: Hub, *, pages_at_once: int = 2) -> None:
        """
        Args:
            pages_at_once: that all who follow read together; fewer than the database has connections, which
                a crowd that comes back would else keep from everybody.
        """
        self._db = db
        self._hub = hub
        self._turn = asyncio.Semaphore(pages_at_once)

    async def read(
        self,
        user_id: UUID,
        run_id: UUID,
        *,
        after: int,
        limit: int = PAGE_EVENTS,
        about_bytes: int = PAGE_BYTES,
    ) -> Page:
        """One page of the log. It ends with the event that brings it to `about_bytes`.

        Raises:
            RunNotFound: unknown, or somebody else's.
            BadCursor: no event has the number `after` yet.
            Gap: the event after it is no longer kept.
        """
        found = await self._db.call(
            "switchyard_events_page",
            user_id=user_id,
            run_id=run_id,
            after=after,
            limit=limit,
            bytes=about_bytes,
        )
        return Page(decode(found["events"], is_shared=False), found["latest"], found["is_terminal"])

    async def follow(
        self, user_id: UUID, run_id: UUID, *, after: int, is_fresh: bool = False
    ) -> AsyncGenerator[list[Event]]:
        """Batches of events numbered after+1, after+2, … without gap or repeat, up to the terminal one.

        A batch is the reader's own: it may be emptied before the next one is asked for.

        Args:
            is_fresh: the user has just made the run, and has its events up to `after`. As long as nothing
                else has happened to it there is nothing in the log to read.

        Raises:
            RunNotFound, BadCursor, Gap: as `read`, before the first batch; Gap also at a hole further on.
        """
        with self._hub.subscribe(run_id) as subscription:
            subscription.restart(after)
            is_level = is_fresh and self._hub.stands_at(run_id, after)
            while True:
                if not is_level:
                    subscription.rest()
                    async with self._turn:
                        subscription.restart(after)
                        page = await self.read(user_id, run_id, after=after, about_bytes=PIECE_BYTES)
                    after = page.events[-1].seq if page.events else after
                    is_level = after == page.latest
                    if not is_level:
                        subscription.rest()
                    if page.events:
                        yield page.events
                    if not is_level:
                        continue
                    if page.is_terminal:
                        return
                is_level = False
                async for batch in _live(subscription, after):
                    after, is_last = batch[-1].seq, batch[-1].is_terminal
                    yield batch
                    if is_last:
                        return


async def _live(subscription: Subscription, after: int) -> AsyncIterator[list[Event]]:
    """What the hub hands on, until something is missing between it and `after`."""
    while (batch := await subscription.take(after)) is not None:
        if batch:
            after = batch[-1].seq
            yield batch
