"""Servers in every state in which they refuse, each made once, when the table of errors needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import httpx2

from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, at, drop, fresh_database
from tests.support.process import free_port
from tests.support.raw import exchange, request_head
from tests.support.refusals import By, Told, order
from tests.support.server import Person, TestServer, running_server, until

__all__ = ["EXECUTE", "Scenes", "cut_off", "open_scenes"]

EXECUTE = "/api/agent/execute"
SLOW_S = 40

T = TypeVar("T")


@dataclass(frozen=True)
class SlowBody:
    """Who sends half a body to which server, and what that will answer."""

    server: TestServer
    person: Person
    answer: asyncio.Task[httpx2.Response | None]


class Scenes:
    """Every method answers the same server, or the same answers, each time."""

    def __init__(self, database_server: DatabaseServer, stack: AsyncExitStack) -> None:
        self._database_server = database_server
        self._stack = stack
        # Any made thing, by the name of its method.
        self._made: dict[str, object] = {}
        self._slow: dict[By, SlowBody] = {}

    async def plain(self) -> TestServer:
        return await self._once("plain", self._server)

    async def strict(self) -> TestServer:
        """One request a minute."""
        return await self._once("strict", lambda: self._server(requests_per_minute=1))

    async def keyless(self) -> TestServer:
        """The project that publishes the keys does not answer, and never has."""
        url = f"http://127.0.0.1:{free_port()}"
        return await self._once("keyless", lambda: self._server(supabase_url=url))

    async def draining(self) -> TestServer:
        """Told to go, and still there."""
        return await self._once("draining", self._draining)

    async def chat(self) -> ChatServer:
        return await self._once("chat", self._chat)

    async def outage(self) -> dict[By, Told]:
        """What an order is answered while the database refuses connections."""
        return await self._once("outage", self._outage)

    async def begin_slow_bodies(self) -> None:
        """Begin to send bodies that stop; the 15 s of the server's patience pass beside everything else."""
        server = await self._server()
        person = await self._stack.enter_async_context(server.person())
        for by in (By.HTTP, By.SSE):
            asking = asyncio.create_task(_send_half(server, person, by))
            self._stack.push_async_callback(_give_up, asking)
            self._slow[by] = SlowBody(server, person, asking)

    def slow(self, by: By) -> SlowBody:
        return self._slow[by]

    async def _once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        if name not in self._made:
            self._made[name] = await make()
        made: T = self._made[name]  # type: ignore[assignment]
        return made

    async def _server(self, **settings: object) -> TestServer:
        url = await self._database()
        return await self._stack.enter_async_context(running_server(url, **settings))

    async def _chat(self) -> ChatServer:
        return await self._stack.enter_async_context(chatting(await self._database()))

    async def _draining(self) -> TestServer:
        server = await self._server()
        await server.backend.lifecycle.drain(within_s=5)
        return server

    async def _outage(self) -> dict[By, Told]:
        server = await self._server()
        async with server.person() as person:
            before = await server.counts()
            async with cut_off(server, self._database_server):
                told = await asyncio.gather(*(order(by, server, person) for by in By))
            assert await server.counts() == before
            assert (await person.client.get("/api/credits")).json()["held"] == 0
        assert await server.sql.fetchval("select public.switchyard_audit()") == []
        return dict(zip(By, told, strict=True))

    async def _database(self) -> str:
        url = await fresh_database(self._database_server)
        self._stack.push_async_callback(drop, self._database_server, url)
        return url


@asynccontextmanager
async def open_scenes(database_server: DatabaseServer) -> AsyncIterator[Scenes]:
    async with AsyncExitStack() as stack:
        yield Scenes(database_server, stack)


@asynccontextmanager
async def cut_off(server: TestServer, database_server: DatabaseServer) -> AsyncIterator[None]:
    """Cut every connection of `server` to its database, which takes no new one until the block ends."""
    admin = await asyncpg.connect(at(database_server.url, "postgres"))
    name = await server.sql.fetchval("select current_database()")
    try:
        await admin.execute(f"alter database {name} allow_connections false")
        cut = await admin.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = $1 and application_name = 'switchyard'",
            name,
        )
        assert cut > 0
        yield
    finally:
        await admin.execute(f"alter database {name} allow_connections true")
        await admin.close()
    await until(lambda: _is_ready(server), within_s=20)


async def _is_ready(server: TestServer) -> bool:
    async with server.client() as client:
        return (await client.get("/health/readiness")).status_code == httpx2.codes.OK


async def _send_half(server: TestServer, person: Person, by: By) -> httpx2.Response | None:
    accept = "text/event-stream" if by is By.SSE else "application/json"
    headers = [
        ("authorization", f"Bearer {person.token}"),
        ("accept", accept),
        ("content-type", "application/json"),
        ("content-length", "1000"),
    ]
    half = request_head("POST", EXECUTE, headers) + b'{"agentId": '
    return await exchange(server.url, half, within_s=SLOW_S)


async def _give_up(asking: asyncio.Task[httpx2.Response | None]) -> None:
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
