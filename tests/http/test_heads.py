"""The head of a request: bounded in time and size, and refused as everything else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from routing import HttpProtocol


class Impatient(HttpProtocol):
    head_within_s = 0.3


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """A server that answers every request it can read; its port."""
    config = uvicorn.Config(
        PlainTextResponse("read"), port=0, http=Impatient, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def tell(port: int, *parts: bytes) -> bytes:
    """Everything the server says to `parts` until it closes, which it must within 5 s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def is_problem(answer: bytes, *, status: int) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    document = orjson.loads(body)
    return (
        head.startswith(f"HTTP/1.1 {status} ".encode())
        and b"application/problem+json" in head
        and document["code"] == "invalid_request"
        and document["status"] == status
        and document["detail"] != ""
        and document["requestId"].encode() in head
    )


GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [(), (b"GET / HT",), (b"GET / HTTP/1.1\r\nHost: a\r\n",), (GOOD, b"GET / HTTP/1.1\r\nHost: a\r\n")],
    ids=["silence", "half a line", "half a head", "half a second head"],
)
async def test_a_head_that_does_not_come_ends_the_connection(parts: tuple[bytes, ...]) -> None:
    async with listening() as port:
        answer = await tell(port, *parts)

    assert answer.count(b"200 OK") == (1 if parts and parts[0] == GOOD else 0)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 3_000_000,
    ],
    ids=["path", "one header", "many headers", "one that never ends"],
)
async def test_a_head_over_32_kb_is_refused(head: bytes) -> None:
    async with listening() as port:
        answer = await tell(port, head)

    # Whoever still sends when the connection closes may not get to read the answer.
    assert b"200 OK" not in answer
    assert answer == b"" or is_problem(answer, status=431)


async def test_a_large_head_within_the_limit_is_read() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-A: " + b"a" * 30_000 + b"\r\n\r\n"
    async with listening() as port:
        assert b"200 OK" in await tell(port, head)


@pytest.mark.parametrize(
    "garbage",
    [
        b"FOO / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["an unknown method", "the beginning of TLS", "a fragment"],
)
async def test_what_is_no_request_gets_a_problem_document(garbage: bytes) -> None:
    async with listening() as port:
        assert is_problem(await tell(port, garbage), status=400)


async def test_many_requests_on_one_connection_are_each_measured_alone() -> None:
    large = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n"
    async with listening() as port:
        answer = await tell(port, large, large, large, LAST)

    assert answer.count(b"200 OK") == 4
