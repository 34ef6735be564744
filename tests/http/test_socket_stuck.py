"""Sockets whose client takes no part any more, or goes wrong while it is answered: gone soon, no alarm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from routing.socket.connection import Tempo
from routing.socket.protocol import SocketProtocol
from tests.support.bare import CONT, PING, PONG, TEXT, Bare, Frames, close_frame, frame, message, opening
from tests.support.server import Person, TestServer, until
from tests.support.sockets import Served, served_door

SMALL_BYTES = 4096


class Impatient(SocketProtocol):
    close_within_s = 0.1


@pytest.fixture
async def door(server: TestServer) -> AsyncIterator[Served]:
    async with served_door(server, Tempo(), protocol=Impatient, buffer_bytes=SMALL_BYTES) as served:
        yield served


async def come_in(client: Bare, token: str | None) -> None:
    await client.say(opening(token=token))
    assert await client.status() == 101


def protocol_of(door: Served) -> SocketProtocol:
    (only,) = door.state.connections
    assert isinstance(only, SocketProtocol)
    return only


@pytest.fixture
async def long_run(person: Person) -> str:
    """One that is far more than all buffers hold."""
    return await person.ended({"chunks": ["x" * 50_000] * 18})


async def fill(client: Bare, run_id: str, door: Served) -> None:
    """Ask for the run and read nothing of it; what is said then is still heard."""
    client.transport.pause_reading()
    await client.say(message("agent_resume", runId=run_id))

    async def is_full() -> bool:
        return not protocol_of(door).writable.is_set()

    await until(is_full)


WAYS: dict[str, Callable[[Bare], None]] = {
    "it closes": lambda client: client.transport.write(close_frame(1000)),
    "it sends a broken frame": lambda client: client.transport.write(frame(3)),
    "half of the connection ends": lambda client: client.end_half(),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_reads_nothing_is_gone_soon_after(
    door: Served, person: Person, long_run: str, way: str
) -> None:
    async with Bare.connected(door.url, buffer_bytes=SMALL_BYTES) as client:
        await come_in(client, person.token)
        await fill(client, long_run, door)

        WAYS[way](client)

        await until(door.is_alone)


async def test_pings_whose_pongs_nobody_reads_are_not_answered(
    door: Served, person: Person, long_run: str
) -> None:
    async with Bare.connected(door.url, buffer_bytes=SMALL_BYTES) as client:
        await come_in(client, person.token)
        await fill(client, long_run, door)
        protocol = protocol_of(door)
        waiting_bytes = protocol.transport.get_write_buffer_size()

        # A message after them that is never ended: once it is here, they have been read.
        await client.say(frame(PING, b"x" * 125) * 100 + frame(TEXT, b"{", fin=False))

        async def has_read() -> bool:
            return protocol._fragments != b""

        await until(has_read)
        assert protocol.transport.get_write_buffer_size() <= waiting_bytes


async def test_a_ping_that_comes_while_its_client_does_not_read_is_answered_later(
    door: Served, person: Person, long_run: str
) -> None:
    async with Bare.connected(door.url, buffer_bytes=SMALL_BYTES) as client:
        await come_in(client, person.token)
        await fill(client, long_run, door)
        protocol, frames = protocol_of(door), Frames()
        # As above: once the fragment is here, the ping has been read.
        await client.say(frame(PING, b"there?") + frame(TEXT, b"{", fin=False))

        async def has_read() -> bool:
            return protocol._fragments != b""

        await until(has_read)
        client.transport.resume_reading()

        async def is_answered() -> bool:
            heard = frames.feed(bytes(client.received))
            client.received.clear()
            return (PONG, b"there?") in heard

        await until(is_answered)


async def test_a_connection_becomes_no_socket_while_it_is_answered(
    server: TestServer, person: Person
) -> None:
    run_id = await person.started({"chunks": ["word"], "gate": "late upgrade"})
    head = f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.token}\r\n"
    async with Bare.connected(server.url) as client, asyncio.timeout(10):
        await client.say(f"{head}Accept: text/event-stream\r\n\r\n".encode())
        await client.until(lambda: b"word" in client.received)

        await client.say(opening(token=person.token))
        server.echo.gates["late upgrade"].set()

        await client.until(lambda: b'"type":"done"' in client.received)
        assert b"101 Switching" not in client.received


async def break_while_answered(door: Served, token: str, run_id: str) -> object:
    async with Bare.connected(door.url) as client:
        await come_in(client, token)
        await client.hear()
        await client.say(message("agent_resume", runId=run_id))
        # In a packet of its own, while the log is read.
        await asyncio.sleep(0.002)
        await client.say(frame(3))
        while isinstance(heard := await client.hear(), dict):
            pass
        return heard


async def test_a_broken_frame_while_a_message_is_answered_is_no_fault_of_ours(
    door: Served, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = await person.ended()
    with capture_logs() as logged, caplog.at_level(logging.ERROR):
        for _ in range(3):
            tries = [break_while_answered(door, person.token, run_id) for _ in range(4)]
            assert set(await asyncio.gather(*tries)) == {1002}

    assert [each for each in logged if each["log_level"] in {"error", "critical"}] == []
    assert caplog.records == []


async def test_empty_fragments_take_no_memory(door: Served) -> None:
    async with Bare.connected(door.url) as client:
        await come_in(client, None)
        await client.say(frame(TEXT, b"{", fin=False) + frame(CONT, fin=False) * 2_000)
        await client.say(frame(CONT, b"x", fin=False))

        async def has_read() -> bool:
            return protocol_of(door)._fragments == b"{x"

        await until(has_read)
        assert protocol_of(door).frames == []
