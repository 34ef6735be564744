"""A WebSocket client for tests: it signs in, says messages and waits for the ones it wants to hear."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from routing import HttpProtocol
from routing.socket import Door
from routing.socket.connection import Tempo
from routing.socket.protocol import SocketProtocol
from tests.support.server import Document, Person, TestServer, until

__all__ = ["LIMIT_S", "Client", "Impatient", "Served", "connected", "opened", "read_nothing", "served_door"]

LIMIT_S = 10
ENDS = frozenset({"agent_execution_complete", "agent_execution_error"})


class Impatient(SocketProtocol):
    """It does not wait for who does not read."""

    take_within_s = 0.2


class Client:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, type_: str, **fields: object) -> None:
        await self.connection.send(json.dumps({"type": type_, **fields}))

    async def hear(self, type_: str | None = None) -> Document:
        """The next message, which must be of this type."""
        async with asyncio.timeout(LIMIT_S):
            message: Document = json.loads(await self.connection.recv())
        assert type_ in {None, message["type"]}, message
        return message

    async def hear_to_end(self) -> list[Document]:
        """All messages up to the end of a run."""
        heard = [await self.hear()]
        while heard[-1]["type"] not in ENDS:
            heard.append(await self.hear())
        return heard

    async def execute(self, person: Person, input_: Document | None = None, **fields: object) -> None:
        await self.say("agent_execute", **person.body(input_), **fields)

    async def begin(self, person: Person, input_: Document | None = None, **fields: object) -> str:
        """The id of a run that has started."""
        await self.execute(person, input_, **fields)
        return str((await self.hear("agent_execution_started"))["runId"])

    async def closed(self) -> int:
        """The close code, once the other end has closed; messages before are passed over."""
        async with asyncio.timeout(LIMIT_S):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as ended:
                return ended.rcvd.code if ended.rcvd is not None else 1006


@asynccontextmanager
async def opened(
    url: str,
    *,
    protocols: Sequence[str] = (),
    query: str = "",
    origin: str | None = None,
    # Any: options of the library.
    **options: Any,
) -> AsyncIterator[Client]:
    """A connection that has said nothing yet."""
    address = url.replace("http", "ws", 1) + "/ws" + query
    async with connect(
        address,
        subprotocols=[Subprotocol(each) for each in protocols] or None,
        origin=None if origin is None else Origin(origin),
        compression=None,
        proxy=None,
        ping_interval=None,
        close_timeout=2,
        **options,
    ) as connection:
        yield Client(connection)


@asynccontextmanager
async def connected(server: TestServer, person: Person) -> AsyncIterator[Client]:
    """A client that is signed in and welcomed."""
    async with opened(server.url, protocols=["switchyard.v1", f"jwt-{person.token}"]) as client:
        await client.hear("connected")
        yield client


async def read_nothing(server: TestServer, client: Client, runs: list[str]) -> None:
    """Ask for `runs`, and return once they are being sent."""
    await client.hear("connected")
    for run_id in runs:
        await client.say("agent_resume", runId=run_id)

    async def reads() -> bool:
        metrics = server.backend.app.state.rooms.metrics
        return bool(metrics.registry.get_sample_value("heavy_agent_readers", {"transport": "ws"}))

    await until(reads)


@dataclass(frozen=True)
class Served:
    """Its tasks are sockets that are answered, its connections those that are open."""

    url: str
    state: ServerState

    async def is_done(self) -> bool:
        return not self.state.tasks

    async def is_alone(self) -> bool:
        return not self.state.connections


@asynccontextmanager
async def served_door(
    server: TestServer,
    tempo: Tempo,
    *,
    protocol: type[SocketProtocol] = SocketProtocol,
    buffer_bytes: int | None = None,
) -> AsyncIterator[Served]:
    """The same sockets at another address, with less patience.

    Args:
        buffer_bytes: what the system may hold of what a client does not read.
    """
    door = Door(server.backend.app.state.rooms, tempo=tempo)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        config = uvicorn.Config(
            door, http=HttpProtocol, ws=protocol, lifespan="off", log_config=None, access_log=False
        )
        serving = uvicorn.Server(config)
        # `serve` would take over the signals of the test process.
        running = asyncio.create_task(serving._serve([listener]))
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", serving.server_state)
        finally:
            serving.should_exit = serving.force_exit = True
            await running
