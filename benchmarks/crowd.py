"""A crowd of WebSockets in a process of its own, which says little and notes when each word came.

In, lines of JSON:
    {"open": 2000, "port": 8000, "offers": ["jwt-…", …]}     open so many more, each with its offer
    {"say": "…"}                                             say this on all of them
    {"tell": true}                                           what was heard since
Out, a line for each: {"open": 2000}, {}, {"sent_ns": […], "took_ns": […]}

A word is a moment (`benchmarks/paced_model.py`), wherever it is found. Sockets come from several addresses.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, cast

import uvloop

WORD: Final = re.compile(rb" (\d{20})")
END_OF_HEAD: Final = b"\r\n\r\n"
OPENING: Final = 100
AN_ADDRESS: Final = 2000
OPEN_WITHIN_S: Final = 30.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
LENGTH_16, LENGTH_64 = 126, 127


class Heard:
    def __init__(self) -> None:
        self.sent_ns: list[int] = []
        self.took_ns: list[int] = []


class Socket(asyncio.Protocol):
    def __init__(self, offer: str, heard: Heard) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._offer = offer
        self._heard = heard
        self._rest = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport writes; uvloop's is of a class of its own.
        self._transport = cast("asyncio.Transport", transport)
        offers = f"Sec-WebSocket-Protocol: {self._offer}\r\n" if self._offer else ""
        self._transport.write(
            "GET /ws HTTP/1.1\r\nHost: benchmark\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
            f"{offers}\r\n".encode()
        )

    def say(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._rest += data
        if not self._is_open:
            self._open()
        while (frame := self._frame()) is not None:
            self._hear(*frame, now_ns)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"a socket was not opened: {self._rest[:500]!r}"))

    def _open(self) -> None:
        head, found, rest = self._rest.partition(END_OF_HEAD)
        if found and head.startswith(b"HTTP/1.1 101"):
            self._rest, self._is_open = rest, True
            if not self._offer:
                self.opened.set_result(None)

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame: what it is, and its payload."""
        if not self._is_open or len(self._rest) < 2:
            return None
        size, begin = self._rest[1], 2
        if size == LENGTH_16:
            size, begin = int.from_bytes(self._rest[2:4], "big"), 4
        elif size == LENGTH_64:
            size, begin = int.from_bytes(self._rest[2:10], "big"), 10
        if len(self._rest) < begin + size:
            return None
        kind, payload = self._rest[0] & 0x0F, self._rest[begin : begin + size]
        self._rest = self._rest[begin + size :]
        return kind, payload

    def _hear(self, kind: int, payload: bytes, now_ns: int) -> None:
        if kind == PING:
            self._send(PONG, payload)
        elif kind == CLOSE:
            raise RuntimeError(f"a socket was closed: {payload!r}")
        elif not self.opened.done():
            self.opened.set_result(None)  # it was welcomed
        else:
            for word in WORD.findall(payload):
                self._heard.sent_ns.append(int(word))
                self._heard.took_ns.append(now_ns - int(word))

    def _send(self, kind: int, payload: bytes) -> None:
        """Masked with zeros, which the receiver cannot tell from any other mask."""
        long = len(payload) >= LENGTH_16
        size = bytes([0x80 | LENGTH_16]) + len(payload).to_bytes(2, "big") if long else None
        self._transport.write(
            bytes([0x80 | kind]) + (size or bytes([0x80 | len(payload)])) + bytes(4) + payload
        )


class Crowd:
    def __init__(self) -> None:
        self._sockets: list[Socket] = []
        self._heard = Heard()

    # Any: orders and answers are JSON.
    async def follow(self, order: dict[str, Any]) -> dict[str, Any]:
        if "open" in order:
            offers = iter(order["offers"])
            async with asyncio.TaskGroup() as tasks:
                for _ in range(OPENING):
                    tasks.create_task(self._open(order["port"], offers))
            return {"open": len(self._sockets)}
        if "say" in order:
            for socket in self._sockets:
                socket.say(order["say"])
            return {}
        told, self._heard.sent_ns, self._heard.took_ns = vars(self._heard).copy(), [], []
        return told

    async def _open(self, port: int, offers: Iterator[str]) -> None:
        for offer in offers:
            number = len(self._sockets)
            self._sockets.append(Socket(offer, self._heard))
            _, socket = await asyncio.get_running_loop().create_connection(
                partial(self._sockets.__getitem__, number),
                *("127.0.0.1", port),
                local_addr=(f"127.0.0.{2 + number // AN_ADDRESS}", 0),
            )
            async with asyncio.timeout(OPEN_WITHIN_S):
                await socket.opened


async def main() -> None:
    crowd = Crowd()
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer = await crowd.follow(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
