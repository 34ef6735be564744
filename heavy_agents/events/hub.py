"""Handing stored events to whoever follows a run in this process.

Each subscription has a bounded queue. One that falls behind is emptied and marked, and its reader goes back
to the log. Of runs that execute in another process hints tell: some bring the events, others say that there
are some. Where no hints arrive such runs are polled, all of them in one statement, and where they do now and
then all the same, because any of them may be lost.

All queues are filled at once, but readers are woken a few in a turn of the loop: an event that a thousand
people wait for must not keep everybody else waiting until the last of them has it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.errors import DatabaseUnavailable, Json
from foundation.hints import Deaf, Hints, Rows
from foundation.lifecycle import TaskOwner
from heavy_agents.events.event import Event, decode

__all__ = ["Hub", "Subscription"]

log = structlog.get_logger(__name__)

QUEUE_EVENTS = 512
POLL_S = 0.25
# With hints, a look is only for those that were lost.
HEARD_POLL_S = 2.0
POLL_PAGE = 200
# Readers woken in one turn of the loop; each then writes to its client, which takes some 50 µs.
A_TURN = 64


class Subscription:
    """One reader's place: what has been stored since it looked last, each event once."""

    def __init__(self) -> None:
        self.newest = 0
        self._is_in_log = False
        self._is_behind = False
        self._is_to_be_woken = False
        self._queue: list[Event] = []
        self._arrived = asyncio.Event()

    @property
    def is_listening(self) -> bool:
        """Whether what is new is kept for the reader; otherwise it finds that in the log."""
        return not (self._is_in_log or self._is_behind)

    def restart(self, after: int) -> None:
        """Listen, and forget what is queued: the reader is about to read the log from `after` on."""
        self.newest = after
        self._is_in_log = self._is_behind = False
        self._queue.clear()

    def rest(self) -> None:
        """The reader has more of the log before it, and will `restart`."""
        self._is_in_log = True
        self._queue.clear()

    def offer(self, events: list[Event]) -> bool:
        """Whether the reader has something new to read and is now to be woken, which it was not before."""
        fresh = [event for event in events if event.seq > self.newest] if self.is_listening else []
        if not fresh:
            return False
        self.newest = fresh[-1].seq
        if len(self._queue) + len(fresh) > QUEUE_EVENTS:
            self._is_behind = True
            self._queue.clear()
        else:
            self._queue.extend(fresh)
        was_to_be_woken, self._is_to_be_woken = self._is_to_be_woken, True
        return not was_to_be_woken

    def wake(self) -> None:
        self._is_to_be_woken = False
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
    """Service: subscriptions by run, and the looks at runs executed elsewhere."""

    def __init__(self, db: Database, hints: Hints | None = None) -> None:
        self._db = db
        self._hints = hints or Deaf()
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        # Those that have something to read and are still to be woken, each once, by a callback that is due.
        self._asleep: deque[Subscription] = deque()
        # By run that executes here: the newest number handed on, or stored before it came here.
        self._here: dict[UUID, int] = {}
        self._watched: set[UUID] = set()
        # Runs that are to be looked at now, of those that are followed.
        self._wanted: set[UUID] = set()
        self._looking = asyncio.Event()
        self._looked_at_all_s = 0.0
        self._tasks = TaskOwner("hub")

    async def start(self) -> None:
        self._tasks.spawn("look", self._look_for_ever())

    async def drain(self) -> None:
        """Readers end with their connections."""

    async def stop(self) -> None:
        await self._tasks.stop()

    @contextmanager
    def subscribe(self, run_id: UUID) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.setdefault(run_id, set()).add(subscription)
        self._see_to(run_id)
        try:
            yield subscription
        finally:
            followers = self._subscriptions[run_id]
            followers.discard(subscription)
            if not followers:
                del self._subscriptions[run_id]
                self._see_to(run_id)

    def publish(self, run_id: UUID, events: list[Event]) -> None:
        """Hand on, here and elsewhere, what this process has stored."""
        if events:
            if run_id in self._here:
                self._here[run_id] = events[-1].seq
            self._hand_on(run_id, events)
            self._hints.stored({run_id: [event.to_json() for event in events]})

    def written(self, run_id: UUID) -> None:
        """The database itself has written events, such as the end of a run that nobody executes."""
        self.look(run_id)
        self._hints.stored({run_id: ()})

    def news(self, run_id: UUID, rows: Rows | None) -> None:
        """What another process tells of a run; see `Listener.news`."""
        if rows:
            self._hand_on(run_id, decode(rows))
        else:
            self.look(run_id)

    def look(self, run_id: UUID) -> None:
        """Read what is new in a run at once, if it is followed and executes elsewhere."""
        if run_id in self._subscriptions:
            self._wanted.add(run_id)
            self._looking.set()

    def look_at_all(self) -> None:
        self._wanted.update(self._subscriptions)
        self._looking.set()

    def executes_here(self, run_id: UUID, *, last_seq: int) -> None:
        self._here[run_id] = last_seq
        self._see_to(run_id)

    def left(self, run_id: UUID) -> None:
        self._here.pop(run_id, None)
        self._see_to(run_id)

    def stands_at(self, run_id: UUID, seq: int) -> bool:
        """Whether every event after `seq` is still to be handed on here: who has subscribed misses none."""
        return self._here.get(run_id) == seq

    def _see_to(self, run_id: UUID) -> None:
        """Be told of a run as long as it is followed here and executes elsewhere."""
        is_wanted = run_id in self._subscriptions and run_id not in self._here
        if is_wanted and run_id not in self._watched:
            self._watched.add(run_id)
            self._hints.watch(run_id)
            # What is stored before the watch has begun is told to nobody here.
            asyncio.get_running_loop().call_later(POLL_S, self.look, run_id)
        elif not is_wanted and run_id in self._watched:
            self._watched.discard(run_id)
            self._hints.unwatch(run_id)

    def _listening(self, run_id: UUID) -> list[int]:
        """The newest number of each who is still to hear of what is new."""
        return [each.newest for each in self._subscriptions.get(run_id, ()) if each.is_listening]

    def _hand_on(self, run_id: UUID, events: list[Event]) -> None:
        is_waking = bool(self._asleep)
        followers = self._subscriptions.get(run_id, ())
        self._asleep.extend(each for each in followers if each.offer(events))
        if not is_waking:
            self._wake()

    def _wake(self) -> None:
        for _ in range(min(A_TURN, len(self._asleep))):
            self._asleep.popleft().wake()
        if self._asleep:
            asyncio.get_running_loop().call_soon(self._wake)

    async def _look_for_ever(self) -> None:
        while True:
            wanted = await self._until_wanted()
            try:
                await self._look(wanted)
            except DatabaseUnavailable:
                # Readiness says so; what was wanted is seen at the next look.
                await asyncio.sleep(POLL_S)
            except Exception:
                # A loop that ended would leave every follower waiting.
                log.exception("look_failed", runs=len(wanted))

    async def _until_wanted(self) -> set[UUID]:
        """The runs to look at: those that hints have named, or after a while all."""
        clock = asyncio.get_running_loop()
        try:
            between_s = HEARD_POLL_S if self._hints.are_heard else POLL_S
            async with asyncio.timeout_at(self._looked_at_all_s + between_s):
                await self._looking.wait()
        except TimeoutError:
            self._looked_at_all_s = clock.time()
            self._wanted.update(self._subscriptions)
        wanted, self._wanted = self._wanted, set()
        self._looking.clear()
        return wanted

    async def _look(self, wanted: set[UUID]) -> None:
        cursors = {
            # Who is further behind goes back to the log; the others must not wait for that.
            run_id: max(places)
            for run_id in wanted - self._here.keys()
            if (places := self._listening(run_id))
        }
        if not cursors:
            return
        asked: list[Json] = [{"run_id": str(run_id), "after": after} for run_id, after in cursors.items()]
        for row in await self._db.call("switchyard_events_tail", cursors=asked, limit=POLL_PAGE):
            self._hand_on(UUID(row["run_id"]), decode(row["events"]))
