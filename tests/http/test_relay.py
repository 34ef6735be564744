from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from tests.support.relay import End, Relay, relaying

LIMIT_S = 5
# How long a test listens for what must not come.
QUIET_S = 0.2

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def relayed_echo() -> AsyncIterator[tuple[Relay, list[str]]]:
    """A relay before a server that returns what it gets, and how each of the server's connections ended."""
    ends: list[str] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                while piece := await reader.read(1000):
                    writer.write(piece)
                ends.append("closed")
            except ConnectionResetError:
                ends.append("reset")

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, relaying(server.sockets[0].getsockname()[1]) as relay:
        yield relay, ends


@asynccontextmanager
async def connection(relay: Relay) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    with closing(writer):
        yield reader, writer


async def read(reader: asyncio.StreamReader, count: int) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await reader.readexactly(count)


async def read_to_reset(reader: asyncio.StreamReader) -> bytes:
    """All that came before the connection was reset."""
    got = b""
    async with asyncio.timeout(LIMIT_S):
        try:
            while piece := await reader.read(1000):
                got += piece
        except ConnectionResetError:
            return got
    raise AssertionError("it ended in order")


async def hears_nothing(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(QUIET_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def until_ended(ends: list[str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not ends:
            await asyncio.sleep(0.01)


async def test_what_is_said_passes_both_ways_to_the_end() -> None:
    async with relayed_echo() as (relay, ends), connection(relay) as (reader, writer):
        writer.write(b"x" * 300_000)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), LIMIT_S)

        assert (len(answer), ends, relay.accepted) == (300_000, ["closed"], 1)


async def test_a_cut_resets_what_is_open_and_refuses_what_is_new() -> None:
    async with relayed_echo() as (relay, ends), connection(relay) as (reader, writer):
        writer.write(b"before")
        await read(reader, 6)
        relay.cut()

        assert await read_to_reset(reader) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", relay.port)
        await until_ended(ends)
        assert ends == ["reset"]


async def test_a_restored_relay_accepts_at_the_same_address() -> None:
    async with relayed_echo() as (relay, _):
        relay.cut()
        relay.cut()
        await relay.restore()

        async with connection(relay) as (reader, writer):
            writer.write(b"after")
            assert await read(reader, 5) == b"after"


async def test_what_is_said_into_a_silence_arrives_after_it() -> None:
    async with relayed_echo() as (relay, ends), connection(relay) as (reader, writer):
        writer.write(b"one")
        await read(reader, 3)
        relay.silence()
        writer.write(b"two")

        assert await hears_nothing(reader)
        assert ends == []
        await relay.restore()
        assert await read(reader, 3) == b"two"


async def test_a_connection_made_in_a_silence_waits_for_its_end() -> None:
    async with relayed_echo() as (relay, _):
        relay.silence()
        async with connection(relay) as (reader, writer):
            writer.write(b"hello")

            assert await hears_nothing(reader)
            await relay.restore()
            assert await read(reader, 5) == b"hello"


async def test_a_silence_can_end_in_a_cut() -> None:
    async with relayed_echo() as (relay, _), connection(relay) as (reader, writer):
        writer.write(b"one")
        await read(reader, 3)
        relay.silence()
        writer.write(b"two")
        relay.cut()

        assert await read_to_reset(reader) == b""


@pytest.mark.parametrize("toward", ["client", "server"])
async def test_a_cut_comes_after_as_many_bytes_as_were_asked_for(toward: End) -> None:
    async with relayed_echo() as (relay, ends), connection(relay) as (reader, writer):
        writer.write(b"first")
        await read(reader, 5)
        relay.cut_after(4, toward=toward)
        writer.write(b"second")
        await relay.until_cut()

        assert await read_to_reset(reader) == (b"seco" if toward == "client" else b"")
        await until_ended(ends)
        assert ends == ["reset"]


async def test_an_end_that_leaves_takes_the_other_with_it() -> None:
    async with relayed_echo() as (relay, ends):
        async with connection(relay) as (reader, writer):
            writer.write(b"bye")
            await read(reader, 3)

        await until_ended(ends)
        assert ends == ["closed"]
