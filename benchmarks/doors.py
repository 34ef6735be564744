"""Servers that are asked for short runs, each with many users: the backend, and the floors below it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import asyncpg
import orjson
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.client import HttpClient, SocketClient, http_request
from benchmarks.server import Served, Server, serving
from benchmarks.subjects.bare_runs import TABLES
from benchmarks.subjects.project import CREDITS, make_users, settings
from foundation.identity import issue_development_token

__all__ = ["Ask", "Door", "Subject", "bare", "entered", "switchyard"]

QUESTION = "What time is it in Berlin?"
BARE = ("-m", "benchmarks.subjects.bare_runs")
SHORT = ("-m", "benchmarks.subjects.short_runs")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a run is told to do: see `subjects/short_runs.py`."""

    events: int
    pause_ms: float = 0
    is_journaled: bool = False

    def to_json(self) -> dict[str, object]:
        return {"events": self.events, "pause_ms": self.pause_ms, "is_journaled": self.is_journaled}


@dataclass(slots=True)
class Door:
    """One server and its users, who take turns so that limits stay on.

    Where it is slow, a batch of runs one after the other has only `share` of them.
    """

    name: str
    served: Served
    users: Sequence[UUID]
    agent_id: UUID
    headers: Callable[[UUID], dict[str, str]]
    protocols: Callable[[UUID], Sequence[str]]
    database_url: str | None
    accounts: str  # the query of what they have and hold
    share: float = 1.0
    asked: int = 0
    _turn: cycle[UUID] = field(init=False)

    def __post_init__(self) -> None:
        self._turn = cycle(self.users)

    @property
    def has_sockets(self) -> bool:
        return True

    @contextmanager
    def awake(self) -> Iterator[None]:
        """While it is asked; at other times it must not load the machine."""
        yield

    def request(self, ask: Ask) -> bytes:
        """For an `HttpClient`, by the user whose turn it is."""
        self.asked += 1
        body = orjson.dumps({**self._body(ask), "stream": True})
        return http_request(body, self.headers(next(self._turn)))

    def message(self, ask: Ask) -> bytes:
        """For a `SocketClient`, by whoever has opened it."""
        return orjson.dumps({"type": "agent_execute", **self._body(ask)})

    async def http_client(self, opened: AsyncExitStack) -> HttpClient:
        client = await HttpClient.connected(self.served.port)
        opened.callback(client.close)
        return client

    async def socket_client(self, opened: AsyncExitStack) -> SocketClient:
        """A socket of the user whose turn it is."""
        user = next(self._turn)
        connection = await opened.enter_async_context(
            connect(
                f"ws://127.0.0.1:{self.served.port}/ws?user={user}",
                subprotocols=[Subprotocol(each) for each in self.protocols(user)] or None,
                compression=None,
                proxy=None,
            )
        )
        return SocketClient(connection)

    async def check_charges(self) -> None:
        """That each run asked for over HTTP has cost one credit, and that nothing is held any more."""
        if self.database_url is None:
            return
        asked = f"select sum($1 - balance) as charged, sum(held) as held from ({self.accounts}) a"  # noqa: S608
        connection = await asyncpg.connect(self.database_url)
        try:
            found = await connection.fetchrow(asked, CREDITS)
        finally:
            await connection.close()
        if found is None or (found["charged"], found["held"]) != (self.asked, 0):
            raise RuntimeError(f"{self.name}: {self.asked} runs were asked for; the accounts say {found}")

    def _body(self, ask: Ask) -> dict[str, object]:
        messages = [{"role": "user", "content": QUESTION}]
        return {"agentId": str(self.agent_id), "messages": messages, "input": ask.to_json()}


@dataclass(frozen=True, slots=True)
class Subject:
    """A door that is not open yet."""

    name: str
    opening: AbstractAsyncContextManager[Door]


async def entered(
    opened: AsyncExitStack, subjects: Iterable[Subject], *, only: Sequence[str] | None
) -> list[Door]:
    """The doors of `subjects`, or of those that are named in `only`."""
    wanted = [each for each in subjects if only is None or each.name in only]
    return [await opened.enter_async_context(each.opening) for each in wanted]


def bare(name: str, *, users: int, database_url: str | None = None, seen_url: str | None = None) -> Subject:
    """
    Args:
        database_url: an empty database; None: nothing is kept.
        seen_url: how the server sees that database, where that differs.
    """
    return Subject(
        name, _bare(name, users=users, database_url=database_url, seen_url=seen_url or database_url)
    )


def switchyard(name: str, *, users: int, database_url: str, seen_url: str | None = None) -> Subject:
    """As `bare`; the database is migrated."""
    return Subject(
        name, _switchyard(name, users=users, database_url=database_url, seen_url=seen_url or database_url)
    )


@asynccontextmanager
async def _bare(name: str, users: int, database_url: str | None, seen_url: str | None) -> AsyncIterator[Door]:
    ids = [uuid4() for _ in range(users)]
    variables: dict[str, str] = {}
    if database_url is not None and seen_url is not None:
        await _make_accounts(database_url, ids)
        variables["DATABASE_URL"] = seen_url
    async with serving(Server(name, BARE, variables)) as served:
        yield Door(
            name,
            served,
            users=ids,
            agent_id=uuid4(),
            headers=lambda user: {"X-User-Id": str(user)},
            protocols=lambda _: (),
            database_url=database_url,
            accounts="select balance, held from accounts",
        )


@asynccontextmanager
async def _switchyard(name: str, *, users: int, database_url: str, seen_url: str) -> AsyncIterator[Door]:
    ids = await make_users(database_url, users=users)
    agent_id = await _make_agent(database_url, ids[0])
    with TemporaryDirectory() as folder:
        variables = {"DATABASE_URL": seen_url, "DATA_DIR": folder}
        configured = settings(database_url, "http://127.0.0.1:9/v1", DATA_DIR=folder)
        tokens = {user: issue_development_token(configured, user) for user in ids}
        async with serving(Server(name, SHORT, variables)) as served:
            yield Door(
                name,
                served,
                users=ids,
                agent_id=agent_id,
                headers=lambda user: {"Authorization": f"Bearer {tokens[user]}"},
                protocols=lambda user: ("switchyard.v1", f"jwt-{tokens[user]}"),
                database_url=database_url,
                accounts="select credits_remaining as balance, held from public.credit_balances",
            )


async def _make_accounts(database_url: str, users: Sequence[UUID]) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(TABLES)
        await connection.execute(
            "insert into accounts (user_id, balance) select unnest($1::uuid[]), $2", users, CREDITS
        )
    finally:
        await connection.close()


async def _make_agent(database_url: str, owner: UUID) -> UUID:
    """One that everybody may run, at the price of a run unless somebody sets another: 1 credit."""
    connection = await asyncpg.connect(database_url)
    try:
        made: UUID = await connection.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, is_published)"
            " values ($1, 'Short', 'short', true, true) returning id",
            owner,
        )
    finally:
        await connection.close()
    return made
