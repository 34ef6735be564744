"""Clients that cost next to nothing: they send bytes made before, and only look for marks in answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection

__all__ = ["Client", "HttpClient", "InTurn", "SocketClient", "Took", "http_request"]

# The first event that the agent itself emits, over HTTP and on a socket; `started` is not it.
FIRST: Final = (b'"type":"chunk"', b'"type":"agent_chunk"')
LAST: Final = (b'"type":"done"', b'"type":"agent_execution_complete"')
FAILED: Final = (b'"type":"error"', b'"type":"agent_execution_error"')
END_OF_ANSWER: Final = b"0\r\n\r\n"
ANSWER_WITHIN_S: Final = 30.0
PIECE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds from sending the request to the agent's first event, and to the end."""

    first_s: float
    whole_s: float


class Client(Protocol):
    async def run(self, request: bytes) -> Took: ...


class HttpClient:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, port: int) -> HttpClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def run(self, request: bytes) -> Took:
        began_s = time.perf_counter()
        first_s: float | None = None
        answer = b""
        self._writer.write(request)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while not answer.endswith(END_OF_ANSWER):
                piece = await self._reader.read(PIECE_BYTES)
                answer += piece
                if first_s is None and _has(FIRST, answer):
                    first_s = time.perf_counter() - began_s
                if not piece or not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"the answer is {answer!r}")
        return _took(answer, first_s, began_s)

    def close(self) -> None:
        self._writer.close()


class SocketClient:
    """One WebSocket, which is open and signed in."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def run(self, request: bytes) -> Took:
        began_s = time.perf_counter()
        first_s: float | None = None
        heard = b""
        await self._connection.send(request, text=True)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while not _has(LAST, heard):
                message = await self._connection.recv(decode=False)
                heard += message
                if first_s is None and _has(FIRST, message):
                    first_s = time.perf_counter() - began_s
                if _has(FAILED, message) or b'"type":"error"' in message:
                    break
        return _took(heard, first_s, began_s)


class InTurn:
    """Clients that take turns, one run each."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._turn = cycle(clients)

    async def run(self, request: bytes) -> Took:
        return await next(self._turn).run(request)


def http_request(body: bytes, headers: dict[str, str], *, path: str = "/api/agent/execute") -> bytes:
    lines = {
        "Host": "benchmark",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _took(answer: bytes, first_s: float | None, began_s: float) -> Took:
    if first_s is None or not _has(LAST, answer):
        raise RuntimeError(f"the run did not end as it should: {answer!r}")
    return Took(first_s, time.perf_counter() - began_s)


def _has(marks: tuple[bytes, ...], answer: bytes) -> bool:
    return any(mark in answer for mark in marks)
