"""What tests of the front door share: a server and somebody who asks it, a model, and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from foundation.outbound import Outbound
from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.server import Person, TestServer, running_server
from tests.support.sockets import Client, connected
from tests.support.web import Web, serve_web


@pytest.fixture(scope="module")
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    """One for all tests of a file, on a database of its own; its users keep them apart."""
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def chat(database_server: DatabaseServer) -> AsyncIterator[ChatServer]:
    """The same with a scripted model; a file that uses it takes its `server` from it."""
    url = await fresh_database(database_server)
    async with chatting(url) as running:
        yield running
    await drop(database_server, url)


@pytest.fixture
async def person(server: TestServer) -> AsyncIterator[Person]:
    """A user with credits and an agent. Whatever the test has done, no invariant is broken after it."""
    async with server.person() as somebody:
        yield somebody
    assert await server.sql.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
async def client(server: TestServer, person: Person) -> AsyncIterator[Client]:
    """`person` on a socket."""
    async with connected(server, person) as somebody:
        yield somebody


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[Web]:
    async with serve_web() as web:
        yield web


@pytest.fixture(scope="module")
async def outbound() -> AsyncIterator[Outbound]:
    outbound = Outbound()
    await outbound.start()
    yield outbound
    await outbound.stop()
