"""Hints by LISTEN, over a connection of its own, and NOTIFY, over those that all share.

What is told within one turn of the loop goes as one notification, and while one is on its way the next
gathers; alone on its database a process tells nothing. A notification is sent after the commit it tells of,
not in it: NOTIFY takes a lock of the whole database until its transaction has ended, and a hint is not worth
that.

Whether hints arrive is proved by hearing oneself: every few seconds a process tells its own name. That also
finds connections that are dead without knowing it, and poolers that keep no session, behind which LISTEN says
yes and nothing comes but what the same session has sent; which is why telling goes another way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from foundation.db import Database
from foundation.hints.notes import Note, Pending, decode
from foundation.hints.port import Listener, Queued, Rows
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

__all__ = ["PostgresHints"]

log = structlog.get_logger(__name__)

CHANNEL = "switchyard"
CONNECT_WITHIN_S = 5.0
SEND_WITHIN_S = 5.0
PING_S = 5.0
# One's own name is heard within milliseconds; after two that were not, nothing else is either.
HEARD_WITHIN_S = 2 * PING_S
COMPANY_S = 3 * PING_S
# Of names: one that is heard is as good as all, and anybody who may connect can say a name.
MOST_COMPANY = 1_000
RECONNECT_MOST_S = 5.0
GOODBYE_S = 0.5


class PostgresHints:
    def __init__(self, url: str, db: Database, *, name: str, metrics: Metrics) -> None:
        """
        Args:
            url: where to listen: a direct connection or one of a session pooler.
            db: the same database, by which is told.
            name: of this process, unlike that of any other.
        """
        self._url = url
        self._db = db
        self._name = name
        self._alone = metrics.hints_alone
        self._listener: Listener | None = None
        self._pending = Pending()
        self._news = asyncio.Event()
        self._all_told = asyncio.Event()
        self._all_told.set()
        self._heard_at_s = 0.0
        self.are_heard = False
        # When each of the others was heard last.
        self._company: dict[str, float] = {}
        self._tasks = TaskOwner("hints")

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def queued(self, runs: Iterable[Queued]) -> None:
        if self._is_in_company and any(True for _ in runs):
            self._pending.work = True
            self._wake()

    def cancel(self, run_id: UUID) -> None:
        if self._is_in_company:
            self._pending.cancel(run_id)
            self._wake()

    def stored(self, batch: Mapping[UUID, Rows]) -> None:
        if self._is_in_company:
            self._pending.add(batch)
            self._wake()

    def watch(self, run_id: UUID) -> None:
        """All hear of all runs."""

    def unwatch(self, run_id: UUID) -> None:
        """All hear of all runs."""

    async def start(self) -> None:
        self._alone.set(1)
        self._tasks.spawn("keep", self._keep_listening())

    async def drain(self) -> None:
        """Give what was told last the time to leave: other replicas go on with what this one gives back."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._all_told.wait()
        except TimeoutError:
            log.warning("hints_goodbye_late", within_s=GOODBYE_S)

    async def stop(self) -> None:
        await self._tasks.stop(within_s=1.0)

    @property
    def _is_in_company(self) -> bool:
        return bool(self._company)

    def _wake(self) -> None:
        self._all_told.clear()
        self._news.set()

    async def _keep_listening(self) -> None:
        pause_s = 0.1
        while True:
            began_s = _now_s()
            try:
                await self._listen()
            except Exception as error:
                # The database's own absence is told by readiness.
                log.warning("hints_lost", reason=type(error).__name__, were_heard=self.are_heard)
            self._fall_silent()
            pause_s = 0.1 if _now_s() - began_s > PING_S else min(pause_s * 2, RECONNECT_MOST_S)
            await asyncio.sleep(pause_s * random.uniform(0.7, 1.0))  # noqa: S311 - no secret

    async def _listen(self) -> None:
        """Connect, then tell and hear until that fails. Always raises in the end."""
        from asyncpg import connect

        connection = await connect(
            self._url,
            timeout=CONNECT_WITHIN_S,
            command_timeout=CONNECT_WITHIN_S,
            statement_cache_size=0,
            server_settings={"application_name": "switchyard hints"},
        )
        try:
            connection.add_termination_listener(lambda _: self._news.set())
            await connection.add_listener(CHANNEL, self._hear)
            self._heard_at_s = _now_s()
            await self._talk(connection)
        finally:
            connection.terminate()

    async def _talk(self, connection: Connection[Record]) -> None:
        pinged_at_s = -PING_S
        while not connection.is_closed():
            if _now_s() - self._heard_at_s > HEARD_WITHIN_S:
                raise NothingHeard
            if _now_s() - pinged_at_s >= PING_S:
                pinged_at_s = _now_s()
                self._pending.ping = True
                self._forget_the_gone()
            self._news.clear()
            if (payload := self._pending.take(self._name)) is not None:
                await self._tell(payload)
                continue
            self._all_told.set()
            await self._until_news(within_s=pinged_at_s + PING_S - _now_s())

    async def _tell(self, payload: str) -> None:
        async with asyncio.timeout(SEND_WITHIN_S):
            await self._db.call("switchyard_hints_tell", payload=payload)

    async def _until_news(self, *, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            pass

    # The driver's types; object: what it hands on is text.
    def _hear(
        self,
        _connection: Connection[Record] | PoolConnectionProxy[Record],
        _pid: int,
        _channel: str,
        payload: object,
    ) -> None:
        note = decode(str(payload))
        if note is None:
            return
        if note.name == self._name:
            self._hear_oneself()
            return
        if note.name not in self._company:
            # Whoever has just come knows nobody yet.
            self._pending.ping = True
            self._wake()
        if note.name in self._company or len(self._company) < MOST_COMPANY:
            self._company[note.name] = _now_s()
        self._pass_on(note)

    def _hear_oneself(self) -> None:
        self._heard_at_s = _now_s()
        if not self.are_heard:
            self.are_heard = True
            self._alone.set(0)
            log.info("hints_heard")
            if self._listener is not None:
                self._listener.missed()

    def _pass_on(self, note: Note) -> None:
        if self._listener is None:
            return
        if note.work:
            self._listener.work()
        for run_id in note.cancels:
            self._listener.cancel(run_id)
        if note.is_about_all:
            self._listener.missed()
        for run_id in note.stored:
            self._listener.news(run_id, None)

    def _fall_silent(self) -> None:
        self.are_heard = False
        self._alone.set(1)
        self._company.clear()
        self._pending = Pending()
        self._all_told.set()

    def _forget_the_gone(self) -> None:
        gone = [name for name, at_s in self._company.items() if _now_s() - at_s > COMPANY_S]
        for name in gone:
            del self._company[name]


class NothingHeard(Exception):
    """The connection lives, and what is told over it does not come back."""


def _now_s() -> float:
    return asyncio.get_running_loop().time()
