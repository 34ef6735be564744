"""A proxy in front of a server that spoils what passes: each `Fault` is one way a deployment is wrong.

    async with breaking(server.url, Fault(of_body=drop_ids)) as url:
        ...

It speaks just enough HTTP for clients that ask one thing a connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Fault", "Head", "breaking"]

STREAM = b"text/event-stream"
PIECE_BYTES = 65_536


class Head:
    """The first line and the fields of a request or an answer, to be changed in place."""

    def __init__(self, content: bytes) -> None:
        self.first, *lines = content.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }

    @property
    def path(self) -> str:
        return self.first.split(" ")[1]

    @property
    def is_stream(self) -> bool:
        return self.fields.get("content-type", "").encode().startswith(STREAM)

    def written(self) -> bytes:
        lines = [self.first, *(f"{name}: {value}" for name, value in self.fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Fault:
    """
    of_request, of_answer: change a head before it is passed on
    of_stream: changes a whole event stream, which is collected for that and told at once
    stream_bytes: after so many of a stream the connection is closed
    """

    of_request: Callable[[Head], None] = lambda _: None
    of_answer: Callable[[Head], None] = lambda _: None
    of_stream: Callable[[bytes], bytes] | None = None
    stream_bytes: int | None = None


@asynccontextmanager
async def breaking(url: str, fault: Fault, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a proxy to `url`, until the block ends; over TLS if it is given what that takes."""
    target = urlsplit(url)
    tasks: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _relay(reader, writer, (target.hostname or "", target.port or 80), fault)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int], fault: Fault
) -> None:
    request = Head(await reader.readuntil(b"\r\n\r\n"))
    body = await reader.readexactly(int(request.fields.get("content-length", "0")))
    if request.fields.get("connection", "").lower() != "upgrade":
        request.fields["connection"] = "close"
    fault.of_request(request)
    from_server, to_server = await asyncio.open_connection(*target)
    try:
        to_server.write(request.written() + body)
        answer = Head(await from_server.readuntil(b"\r\n\r\n"))
        fault.of_answer(answer)
        if answer.is_stream:
            await _pass_stream(from_server, writer, answer, fault)
            return
        writer.write(answer.written())
        back = asyncio.create_task(_pump(reader, to_server))
        await _pump(from_server, writer)
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
    finally:
        to_server.close()


async def _pass_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Head, fault: Fault
) -> None:
    """Without its chunks, so that what is passed on may have any length."""
    is_chunked = answer.fields.pop("transfer-encoding", "") == "chunked"
    answer.fields["connection"] = "close"
    pieces = _chunks(reader) if is_chunked else _pieces(reader)
    if fault.of_stream is not None:
        whole = b"".join([piece async for piece in pieces])
        writer.write(answer.written() + fault.of_stream(whole))
        await writer.drain()
        return
    left = fault.stream_bytes
    writer.write(answer.written())
    async for piece in pieces:
        writer.write(piece[:left])
        await writer.drain()
        if left is not None and (left := left - len(piece)) <= 0:
            return


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readline()


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(PIECE_BYTES):
        yield piece


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
