"""One connection of bare bytes to a server, and how the other end took what was sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.support.bare.frames import CLOSE, TEXT, Frames, close_frame

__all__ = ["Bare", "opening"]

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
RESET = struct.pack("ii", 1, 0)

# Any: a message of the wire, as JSON.
Message = dict[str, Any]


def opening(*, path: str = "/ws", token: str | None = None) -> bytes:
    """The request of a client that opens a WebSocket, and signs in if it has a token."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", KEY]
    if token is not None:
        lines.append(f"Sec-WebSocket-Protocol: switchyard.v1, jwt-{token}")
    return "\r\n".join([*lines, "", ""]).encode()


class Bare(asyncio.Protocol):
    """It reads as soon as something comes, so that nothing of it is lost when the connection breaks."""

    def __init__(self) -> None:
        self.received = bytearray()  # and not taken yet
        self.ended: str | None = None  # `end` or `reset`
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._frames = Frames()
        self._heard: list[tuple[int, bytes]] = []

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, *, buffer_bytes: int | None = None) -> AsyncIterator[Bare]:
        """
        Args:
            buffer_bytes: what the system may hold of what this end does not read.
        """
        address = urlsplit(url)
        plain = socket.socket()
        plain.setblocking(False)
        if buffer_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(plain, (address.hostname, address.port))
            _, bare = await loop.create_connection(cls, sock=plain)
        except BaseException:
            plain.close()
            raise
        try:
            yield bare
        finally:
            bare.transport.abort()
            await bare.until(lambda: bare.ended is not None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = "end" if exc is None else "reset"
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def say(self, data: bytes) -> None:
        """Send, as far as the other end still listens."""
        if self.ended is None:
            self.transport.write(data)
            await self._writable.wait()

    async def say_unread(self, data: bytes, *, give_up_s: float) -> None:
        """Send and read nothing, until the other end has taken nothing for so long."""
        self.transport.pause_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(give_up_s):
                await self.say(data)
        if self.ended is None:
            self.transport.resume_reading()

    def end_half(self) -> None:
        """Say nothing more, and listen."""
        if self.ended is None:
            self.transport.write_eof()

    def reset(self) -> None:
        """End as a broken network does."""
        if self.ended is None:
            plain = self.transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    async def status(self) -> int | str:
        """The status of an answer, once its head is here; `end` or `reset` without one."""
        await self.until(lambda: b"\r\n\r\n" in self.received or self.ended is not None)
        head, found, rest = bytes(self.received).partition(b"\r\n\r\n")
        if not found:
            return str(self.ended)
        self.received = bytearray(rest)
        return int(head.split(b" ", 2)[1])

    async def hear(self) -> Message | int | str:
        """The next message; or how the connection ended: a close code, `end`, `reset`."""
        while True:
            self._heard += self._frames.feed(bytes(self.received))
            self.received.clear()
            while self._heard:
                opcode, payload = self._heard.pop(0)
                if opcode == TEXT:
                    message: Message = orjson.loads(payload)
                    return message
                if opcode == CLOSE:
                    await self.say(close_frame(1000))
                    await self.gone()
                    return int.from_bytes(payload[:2], "big") if payload else 1005
            if self.ended is not None:
                return self.ended
            await self.until(lambda: bool(self.received) or self.ended is not None)

    async def gone(self) -> None:
        """Wait until the other end has closed the connection."""
        await self.until(lambda: self.ended is not None)
