"""Handing stored events to whoever follows a run in this process.

Each subscription has a bounded queue. One that falls behind is emptied and marked, and its reader goes back
to the log. Runs that execute in another process are polled, all of them in one statement.

All queues are filled at once, but readers are woken a few in a turn of the loop: an event that a thousand
people wait for must not keep everybody else waiting until the last of them has it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from foundation.db import Database
from foundation.errors import Json
from foundation.lifecycle import TaskOwner
from heavy_agents.events.event import Event, decode

__all__ = ["Hub", "Subscription"]

QUEUE_EVENTS = 512
POLL_S = 0.25
POLL_PAGE = 200
# Readers woken in one turn of the loop; each then writes to its client, which takes some 50 µs.
A_TURN = 64


class Subscription:
    """One reader's place: what has been stored since it looked last, each event once."""

    def __init__(self) -> None:
        self.newest = 0
        self._is_behind = False
        self._queue: list[Event] = []
        self._arrived = asyncio.Event()

    def restart(self, after: int) -> None:
        """Forget what is queued: the reader is about to read the log from `after` on."""
        self.newest = after
        self._is_behind = False
        self._queue.clear()

    def offer(self, events: list[Event]) -> bool:
        """Whether the reader, which is to be woken, has something new to read."""
        fresh = [event for event in events if event.seq > self.newest]
        if not fresh:
            return False
        self.newest = fresh[-1].seq
        if len(self._queue) + len(fresh) > QUEUE_EVENTS:
            self._is_behind = True
            self._queue.clear()
        else:
            self._queue.extend(fresh)
        return True

    def wake(self) -> None:
        self._arrived.set()

    async def take(self, after: int) -> list[Event] | None:
        """Wait for the events after a number, without a gap; None when the reader must go back to the log."""
        while not (self._queue or self._is_behind):
            self._arrived.clear()
            await self._arrived.wait()
        taken, self._queue = [event for event in self._queue if event.seq > after], []
        if self._is_behind or (taken and taken[-1].seq != after + len(taken)):
            return None
        return taken


class Hub:
    """Service: subscriptions by run, and the poller for runs executed elsewhere."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        # Those that have something to read and are still to be woken, by the callback that runs then.
        self._asleep: deque[Subscription] = deque()
        # By run that executes here: the newest number handed on, or stored before it came here.
        self._here: dict[UUID, int] = {}
        self._tasks = TaskOwner("hub")

    async def start(self) -> None:
        self._tasks.every("poll", seconds=POLL_S, work=self._poll)

    async def drain(self) -> None:
        """Readers end with their connections."""

    async def stop(self) -> None:
        await self._tasks.stop()

    @contextmanager
    def subscribe(self, run_id: UUID) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.setdefault(run_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            followers = self._subscriptions[run_id]
            followers.discard(subscription)
            if not followers:
                del self._subscriptions[run_id]

    def publish(self, run_id: UUID, events: list[Event]) -> None:
        if events:
            if run_id in self._here:
                self._here[run_id] = events[-1].seq
            is_waking = bool(self._asleep)
            followers = self._subscriptions.get(run_id, ())
            self._asleep.extend(each for each in followers if each.offer(events))
            if not is_waking:
                self._wake()

    def executes_here(self, run_id: UUID, *, last_seq: int) -> None:
        self._here[run_id] = last_seq

    def left(self, run_id: UUID) -> None:
        self._here.pop(run_id, None)

    def stands_at(self, run_id: UUID, seq: int) -> bool:
        """Whether every event after `seq` is still to be handed on here: who has subscribed misses none."""
        return self._here.get(run_id) == seq

    def _wake(self) -> None:
        for _ in range(min(A_TURN, len(self._asleep))):
            self._asleep.popleft().wake()
        if self._asleep:
            asyncio.get_running_loop().call_soon(self._wake)

    async def _poll(self) -> None:
        cursors = {
            # Who is further behind goes back to the log; the others must not wait for that.
            run_id: max(subscription.newest for subscription in followers)
            for run_id, followers in self._subscriptions.items()
            if run_id not in self._here
        }
        if not cursors:
            return
        asked: list[Json] = [{"run_id": str(run_id), "after": after} for run_id, after in cursors.items()]
        for row in await self._db.call("switchyard_events_tail", cursors=asked, limit=POLL_PAGE):
            self.publish(UUID(row["run_id"]), decode(row["events"]))
