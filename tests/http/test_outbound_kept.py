"""A connection that was kept may be closed in the moment in which it is used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from foundation.outbound import Outbound, OutboundFailed

HEAD_END = b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Forgetful:
    """It answers the first request of each connection, and closes at the second without a word."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    answers: int = 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(self.answers + 1):
            self.heard.append((await reader.readuntil(HEAD_END)).split(b" ")[0])
            if number < self.answers:
                writer.write(ANSWER)
        writer.close()


@asynccontextmanager
async def forgetful(*, answers: int = 1) -> AsyncIterator[tuple[Forgetful, Outbound]]:
    server, outbound = Forgetful(answers=answers), Outbound()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    await outbound.start()
    async with listener:
        yield server, outbound
        await outbound.stop()


async def test_what_only_reads_is_asked_for_again_over_a_connection_of_its_own() -> None:
    async with forgetful() as (server, outbound):
        url = f"http://127.0.0.1:{server.port}/"

        fetched = [await outbound.fetch(url, allow_private=True) for _ in range(2)]

    assert [each.body for each in fetched] == [b"ok", b"ok"]
    assert server.heard == [b"GET"] * 3


async def test_what_may_have_had_an_effect_is_not_asked_for_again() -> None:
    async with forgetful() as (server, outbound):
        url = f"http://127.0.0.1:{server.port}/"
        await outbound.fetch(url, allow_private=True)

        with pytest.raises(OutboundFailed):
            await outbound.fetch(url, method="POST", body=b"", allow_private=True)

    assert server.heard == [b"GET", b"POST"]


async def test_a_server_that_closes_every_connection_is_asked_once() -> None:
    async with forgetful(answers=0) as (server, outbound):
        with pytest.raises(OutboundFailed):
            await outbound.fetch(f"http://127.0.0.1:{server.port}/", allow_private=True)

    assert server.heard == [b"GET"]
