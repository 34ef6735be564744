"""A session is guarded like a fetch, and tells its failures as the HTTP library does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.types import Send

from foundation.outbound import BlockedAddress, Outbound, OutboundFailed
from tests.support.web import serve_web


class Rebinding:
    """A name server that says something else each time."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    async def resolve(self, host: str) -> Sequence[str]:  # noqa: ARG002
        return [self._answers.pop(0)]


@asynccontextmanager
async def session(
    *, allow_private: bool, names: Rebinding | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    outbound = Outbound(resolver=names)
    await outbound.start()
    try:
        async with await outbound.session(allow_private=allow_private) as client:
            yield client
    finally:
        await outbound.stop()


async def test_a_session_streams_an_answer() -> None:
    async def answer(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async with serve_web() as web, session(allow_private=True) as client:
        web.answers["/stream"] = answer
        async with client.stream("POST", f"{web.url}/stream", json={"a": 1}) as reading:
            parts = [part async for part in reading.aiter_raw()]

    assert b"".join(parts) == b"one two"
    assert web.asked_for("/stream")[0].body == b'{"a":1}'


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/", "ftp://a.example/"]
)
async def test_a_session_is_not_led_into_a_private_network(url: str) -> None:
    async with session(allow_private=False) as client:
        with pytest.raises(BlockedAddress):
            await client.get(url)


async def test_a_session_judges_the_address_it_connects_to() -> None:
    async with session(allow_private=False, names=Rebinding("127.0.0.1")) as client:
        with pytest.raises(BlockedAddress):
            await client.get("http://rebind.example:8080/")


async def test_a_session_follows_no_redirect() -> None:
    async with serve_web() as web, session(allow_private=True) as client:
        web.reply("/away", status=302, headers={"Location": f"{web.url}/inside"})

        answer = await client.get(f"{web.url}/away")

    assert answer.status_code == 302
    assert web.asked_for("/inside") == []


async def test_a_refused_connection_is_told_as_the_library_tells_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with session(allow_private=True) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_an_unknown_name_is_told_as_the_library_tells_it() -> None:
    class Nobody(Rebinding):
        async def resolve(self, host: str) -> Sequence[str]:  # noqa: ARG002
            raise OSError("no such name")

    async with session(allow_private=False, names=Nobody()) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://nobody.example/")


async def test_a_silent_server_is_told_as_a_timeout() -> None:
    async def never(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(5)

    async with serve_web() as web, session(allow_private=True) as client:
        web.answers["/never"] = never
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(f"{web.url}/never", timeout=0.2)


async def test_an_answer_cut_short_is_told_as_a_protocol_error() -> None:
    async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server, session(allow_private=True) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_there_is_no_session_before_the_start() -> None:
    with pytest.raises(OutboundFailed):
        await Outbound().session(allow_private=False)
