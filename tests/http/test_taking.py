"""Clients that do not read their answers are gone soon, whatever they asked for; slow ones are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat
from typing import Final

import pytest
import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from routing import HttpProtocol
from routing.socket.protocol import LINGER_S, SocketProtocol
from routing.stream_writer import StreamWriter
from routing.taking import SYSTEM_MS, WITHIN_S
from routing.waiting import first_of, left
from tests.support.bare import Bare
from tests.support.server import until

SMALL_BYTES: Final = 4096
MUCH: Final = b"x" * 2_000_000
BLOCK: Final = b"x" * 16_384
# The lines around a block.
FRAMING_BYTES: Final = 16


class Impatient(HttpProtocol):
    take_within_s = 0.3


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 10_000
        await asyncio.sleep(0)


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """As a run is told: block after block, until the client has left."""
    client = StreamWriter(scope, send, ping_s=60)
    await client.begin([])
    await first_of(client.write(repeat(BLOCK)), left(receive))


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """By its path: as much as there is, as a stream, a page, or a page that ends the connection."""
    app: ASGIApp = Response(MUCH)
    match scope["path"]:
        case "/stream":
            app = StreamingResponse(endless())
        case "/blocks":
            await tell(scope, receive, send)
            return
        case "/last":
            app = Response(MUCH, headers={"connection": "close"})
        case _:
            """The page."""
    await app(scope, receive, send)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, ServerState]]:
    """Its address, and what it has open."""
    config = uvicorn.Config(answer, port=0, http=Impatient, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", server.server_state
    finally:
        server.force_exit = True
        await server.shutdown()


async def ask(client: Bare, path: str) -> None:
    await client.say(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.mark.parametrize("path", ["/stream", "/page", "/last"])
async def test_a_client_that_reads_nothing_is_cut_off_and_told(path: str) -> None:
    with capture_logs() as logged:
        async with (
            serving() as (url, state),
            Bare.connected(url, buffer_bytes=SMALL_BYTES) as client,
        ):
            client.transport.pause_reading()
            await ask(client, path)
            await until(lambda: _has(bool(state.connections)))

            await until(lambda: _has(not state.connections and not state.tasks))

            # What it finds when it looks is no end of the answer.
            client.transport.resume_reading()
            await client.gone()
            assert client.ended == "reset"
    assert [each["event"] for each in logged] == ["reader_stuck"]


async def test_for_a_client_that_reads_nothing_one_block_is_kept() -> None:
    async with serving() as (url, state), Bare.connected(url, buffer_bytes=SMALL_BYTES) as client:
        client.transport.pause_reading()
        await ask(client, "/blocks")
        most_bytes = 0
        await until(lambda: _has(bool(state.connections)))

        async with asyncio.timeout(10):
            while state.connections:
                [protocol] = state.connections
                assert isinstance(protocol, HttpProtocol)
                most_bytes = max(most_bytes, protocol.transport.get_write_buffer_size())
                await asyncio.sleep(0.01)
        await until(lambda: _has(not state.tasks))

    assert 0 < most_bytes <= len(BLOCK) + FRAMING_BYTES


async def test_a_client_that_reads_a_little_for_ever_is_cut_off() -> None:
    async with serving() as (url, state), Bare.connected(url, buffer_bytes=SMALL_BYTES) as client:
        client.transport.pause_reading()
        plain = client.transport.get_extra_info("socket")._sock
        await ask(client, "/page")
        await until(lambda: _has(bool(state.connections)))
        taken = 0

        async with asyncio.timeout(10):
            while state.connections:
                # A byte, of the hundreds that it must take until the next look.
                with suppress(BlockingIOError, ConnectionResetError):
                    taken += len(plain.recv(1))
                await asyncio.sleep(0.02)

    assert taken > 3


async def test_a_client_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with serving() as (url, _), Bare.connected(url, buffer_bytes=65_536) as client:
        await ask(client, "/page")

        async with asyncio.timeout(30):
            while len(client.received) < len(MUCH):
                client.transport.pause_reading()
                await asyncio.sleep(0.05)
                client.transport.resume_reading()
                await asyncio.sleep(0.001)

    assert client.received.endswith(MUCH)


def test_the_system_gives_a_client_up_after_we_have_and_told_it() -> None:
    """Of what the system ends by itself a client hears nothing."""
    goodbye_s = SocketProtocol.close_within_s + LINGER_S

    assert 2 * WITHIN_S + goodbye_s < SYSTEM_MS / 1000


async def _has(value: bool) -> bool:
    return value
