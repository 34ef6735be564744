"""What replicas tell each other through NATS: who waits, who is to end, and what has just happened.

    alone ──(connected, and subscribed to what is followed)──▶ heard ──(closed, or silent for 2 s)──▶ alone

While alone, what is told is dropped, and one task tries again for ever, a little later each time and not in
step with other replicas. Each change is a line in the log and a step of a gauge, and tells the listener that
hints may have been lost: it looks at everything once. So NATS may be away, come back empty or lose what it
likes; nobody waits longer than without it.

A message of ours never comes back to us, but for work: whoever has made a run wait may be the one with room.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from foundation.errors import HeavyError
from foundation.hints.opening import open_nats
from foundation.hints.outbox import Outbox
from foundation.hints.port import Listener, Queued, Rows
from foundation.hints.stream import Rules
from foundation.hints.watching import Watching
from foundation.hints.wire import CANCEL, EVENTS, asked_to_end, cancelling, rows_in, run_in, storing, waiting
from foundation.hints.work import Work
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from foundation.hints.connection import Connection

__all__ = ["NatsHints"]

log = structlog.get_logger(__name__)

CONNECT_S: Final = 2
FIRST_REST_S: Final = 0.05
LONGEST_REST_S: Final = 2.0
# A connection that has lasted so long was a good one: the next trial comes at once.
GOOD_S: Final = 5.0
GOODBYE_S: Final = 0.5

AWAY: Final = "NATS {why}; replicas learn of each other's runs from the database"
NO_STREAMS: Final = "NATS has no JetStream for us; every worker looks for every run"


class NatsHints:
    """Hints through one NATS. Its absence is never an error, neither at the start nor later."""

    def __init__(self, url: str, *, metrics: Metrics, rules: Rules | None = None) -> None:
        """
        Args:
            url: with its password.
        """
        self._url = url
        self._metrics = metrics
        self._rules = rules or Rules()
        self._listener: Listener | None = None
        self._connection: Connection | None = None
        self._away: str | None = "is not connected yet"
        self._lacks_streams = False
        self._stopping = asyncio.Event()
        self._outbox = Outbox(metrics.hints_dropped_total)
        self._watching = Watching()
        self._tasks = TaskOwner("nats")

    @property
    def are_heard(self) -> bool:
        return self._connection is not None

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def queued(self, runs: Iterable[Queued]) -> None:
        for run in runs:
            if self._may_tell():
                self._outbox.put(waiting(run))

    def cancel(self, run_id: UUID) -> None:
        if self._may_tell():
            self._outbox.put(cancelling(run_id))

    def stored(self, batch: Mapping[UUID, Rows]) -> None:
        for run_id, rows in batch.items():
            if (connection := self._may_tell()) is not None:
                self._outbox.put(storing(run_id, rows, most_bytes=connection.max_payload))

    def watch(self, run_id: UUID) -> None:
        self._watching.add(run_id)

    def unwatch(self, run_id: UUID) -> None:
        self._watching.remove(run_id)

    async def start(self) -> None:
        """Begins to connect, and does not wait for it."""
        # Imported on first use: most servers have no NATS.
        import foundation.hints.connection  # noqa: F401

        self._metrics.hints_alone.set(1)
        self._tasks.spawn("connect", self._stay_connected())

    async def drain(self) -> None:
        """Give what was told last the time to leave: other replicas go on with what this one gives back."""
        if self.are_heard:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await self._outbox.emptied()
            except TimeoutError:
                log.warning("nats_goodbye_late", within_s=GOODBYE_S)

    async def stop(self) -> None:
        self._stopping.set()
        await self._tasks.stop(within_s=GOODBYE_S)

    async def check(self) -> None:
        """For readiness, as a remark: nothing is lost without NATS.

        Raises:
            HeavyError: what works otherwise now, and why.
        """
        if self._away is not None:
            raise HeavyError(AWAY.format(why=self._away))
        if self._lacks_streams:
            raise HeavyError(NO_STREAMS)

    def _may_tell(self) -> Connection | None:
        if self._connection is None:
            self._metrics.hints_dropped_total.inc()
        return self._connection

    async def _stay_connected(self) -> None:
        rest_s, time = FIRST_REST_S, asyncio.get_running_loop().time
        # A cancellation can get lost behind what the tasks of a connection end with.
        while not self._stopping.is_set():
            began_s = time()
            try:
                await self._be_connected()
            # Whatever it is: nothing that NATS or its client does may end the trials.
            except Exception as error:
                self._say_away(_cause(error))
            rest_s = FIRST_REST_S if time() - began_s > GOOD_S else min(rest_s * 2, LONGEST_REST_S)
            with suppress(TimeoutError):
                jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
                await asyncio.wait_for(self._stopping.wait(), rest_s * jitter)

    async def _be_connected(self) -> None:
        """One connection from its beginning to its end. Raises what ended it."""
        connection = await open_nats(self._url, name="switchyard", within_s=CONNECT_S, on_error=self._erred)
        async with asyncio.TaskGroup() as group:
            try:
                await connection.subscribe(CANCEL, cb=self._cancel_arrived)
                await self._watching.begin(connection, self._news_arrived)
                self._say_heard(connection)
                group.create_task(self._outbox.send(connection))
                group.create_task(self._watching.keep(connection, self._news_arrived, begun=self._look_at))
                if self._told.kinds:
                    group.create_task(self._work().hear(connection))
                await connection.lost()
                raise ConnectionResetError
            finally:
                # Before the tasks above are waited for: they may wait for a server that hangs.
                self._be_alone()
                await connection.leave()

    def _work(self) -> Work:
        return Work(self._told, rules=self._rules, without_streams=self._say_streams)

    @property
    def _told(self) -> Listener:
        assert self._listener is not None, "nobody listens"  # noqa: S101 - said before the start
        return self._listener

    def _be_alone(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._metrics.hints_alone.set(1)
            self._outbox.drop_all()
            self._told.missed()

    def _say_heard(self, connection: Connection) -> None:
        self._connection, self._away = connection, None
        self._metrics.hints_alone.set(0)
        log.info("nats_heard")
        self._told.missed()

    def _say_away(self, error: BaseException) -> None:
        """Once for each reason: it may take hours."""
        self._be_alone()
        reason = _why(error)
        if reason != self._away:
            self._away = reason
            # No more of it than its kind: a text may hold the address.
            log.warning("nats_away", reason=reason, error=type(error).__name__)

    def _say_streams(self, error: Exception | None) -> None:
        if (error is not None) == self._lacks_streams:
            return
        self._lacks_streams = error is not None
        if error is None:
            log.info("nats_streams_found")
        else:
            log.warning("nats_without_streams", reason=str(error))

    def _look_at(self, run_id: UUID) -> None:
        self._told.news(run_id, None)

    async def _cancel_arrived(self, message: Msg) -> None:
        if (run_id := asked_to_end(message.data)) is not None:
            self._told.cancel(run_id)

    async def _news_arrived(self, message: Msg) -> None:
        if (run_id := run_in(message.subject)) is not None:
            self._told.news(run_id, rows_in(message.data))

    async def _erred(self, error: Exception) -> None:
        """What the library has to say beside what it raises."""
        from nats.errors import SlowConsumerError

        if isinstance(error, SlowConsumerError):
            run_id = run_in(error.subject) if error.subject.startswith(EVENTS) else None
            log.warning("nats_message_dropped", subject=error.subject)
            if run_id is None:
                self._told.missed()
            else:
                self._told.news(run_id, None)
        elif self.are_heard:
            log.warning("nats_erred", error=type(error).__name__)


def _why(error: BaseException) -> str:
    """What NATS did, as the end of a sentence that begins with it."""
    from nats.errors import SecureConnWantedError

    said = str(error).lower()
    if "authorization" in said or "authentication" in said:
        return "refuses the login"
    if isinstance(error, SecureConnWantedError):
        return "is not encrypted, though its address says tls"
    return "does not answer"


def _cause(error: BaseException) -> BaseException:
    """What a group of tasks ended with first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
