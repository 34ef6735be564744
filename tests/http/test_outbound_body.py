"""A body in chunks is read past the pool's own reader, and the pool never knows the difference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest

from foundation.outbound import Outbound

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"5\r\nfirst\r\n7\r\n second\r\n0\r\n\r\n"


class Speaker:
    """Sends the parts of an answer one after another, to each request on each connection."""

    def __init__(self) -> None:
        self.parts: Sequence[bytes] = ()
        self.closes = False
        self.connections = 0
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._ask(reader):
                for part in self.parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if self.closes:
                    return
            self.left.set()
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader) -> bool:
        try:
            return bool(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False


@asynccontextmanager
async def speaking() -> AsyncIterator[tuple[Speaker, httpx2.AsyncClient]]:
    speaker, outbound = Speaker(), Outbound()
    await outbound.start()
    server = await asyncio.start_server(speaker, "127.0.0.1", 0)
    try:
        async with await outbound.session(allow_private=True) as client:
            client.base_url = httpx2.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            yield speaker, client
    finally:
        server.close()
        await outbound.stop()


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + BODY],
        [HEAD, BODY],
        [HEAD[:-3], HEAD[-3:] + BODY[:4], BODY[4:]],
        # What looks like the end of a head is in the body.
        [HEAD.replace(b"\r\n", b"\n") + b"4\r\n\r\n\r\n\r\n", BODY],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + BODY],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", HEAD, BODY],
    ],
    ids=["in one", "head first", "in the middle of things", "bare line ends", "hints in one", "hints first"],
)
async def test_a_body_is_whole_and_its_connection_is_used_again(parts: list[bytes]) -> None:
    async with speaking() as (speaker, client):
        speaker.parts = parts

        answers = [await client.get("/") for _ in range(3)]

    assert {each.text.strip() for each in answers} == {"first second"}
    assert speaker.connections == 1


@pytest.mark.parametrize("parts", [[HEAD, BODY[:-5]], [HEAD, BODY[:8]], [HEAD, b"5\r\nfirst there\r\n"]])
async def test_a_body_that_breaks_off_is_an_error_and_ends_its_connection(parts: list[bytes]) -> None:
    async with speaking() as (speaker, client):
        speaker.parts, speaker.closes = parts, True

        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/")
        speaker.parts, speaker.closes = [HEAD, BODY], False
        answer = await client.get("/")

    assert answer.text == "first second"
    assert speaker.connections == 2


async def test_a_body_that_is_left_half_read_closes_its_connection() -> None:
    async with speaking() as (speaker, client):
        speaker.parts = [HEAD, BODY[:10]]

        async with client.stream("GET", "/") as answer:
            first = await anext(answer.aiter_raw())

        assert first == b"first"
        await asyncio.wait_for(speaker.left.wait(), 5)


async def test_a_server_that_says_nothing_more_is_not_waited_for_longer_than_asked() -> None:
    async with speaking() as (speaker, client):
        speaker.parts = [HEAD, BODY[:10]]

        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/", timeout=0.2)
        await asyncio.wait_for(speaker.left.wait(), 5)


async def test_the_answer_to_a_head_has_no_body_to_wait_for() -> None:
    async with speaking() as (speaker, client):
        speaker.parts = [HEAD]

        answers = [await client.head("/", timeout=5) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert speaker.connections == 1
