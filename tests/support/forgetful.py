"""A network that forgets answers of Postgres: a relay which passes a call, and resets when its answer comes.

    async with forgetting(url) as relay:
        ...                                          # whoever is to suffer connects to relay.url
        relay.forget(Loss("switchyard_runs_finish"))
        relay.forgotten["switchyard_runs_finish"]    # 1, once it has happened

Every such call has taken effect, and its caller cannot know. A `HASTY` loss is told while the call may still
be at work, so that a repetition can meet it.

Source: PostgreSQL, chapter "Frontend/Backend Protocol", section "Message Formats".
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import urlsplit

__all__ = ["Forgetful", "Loss", "When", "forgetting"]

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
PIECE_BYTES = 65_536
AT_WORK_S = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CALLED = re.compile(rb"select public\.(\w+)\(")


class When(Enum):
    """
    DONE: the answer is there, and is thrown away
    HASTY: as soon as the call has been passed on
    """

    DONE = auto()
    HASTY = auto()


@dataclass
class Loss:
    """
    passing: how many calls of the function are answered before
    least_bytes: a shorter answer says that nothing was done; it is passed on, and the next one awaited
    """

    function: str
    when: When = When.DONE
    passing: int = 0
    least_bytes: int = 0


@dataclass
class _Link:
    """One connection: the statements that were prepared on it, and the loss that has met it."""

    functions: dict[bytes, str] = field(default_factory=dict)
    loss: Loss | None = None


class Forgetful:
    """
    Attributes:
        forgotten: answers by function.
    """

    def __init__(self, url: str) -> None:
        self.forgotten: Counter[str] = Counter()
        self._target = urlsplit(url)
        self._losses: list[Loss] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._listener is not None
        port = self._listener.sockets[0].getsockname()[1]
        login = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{login}@{HOST}:{port}").geturl()

    def forget(self, *losses: Loss) -> None:
        self._losses += losses

    def remember(self) -> None:
        """What was to be forgotten and has not come yet is answered."""
        self._losses.clear()

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._carry, HOST, 0)

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # Closing cancels what is open; a cancelled handler would be reported as an error.
            with suppress(OSError, asyncio.CancelledError):
                server = await asyncio.open_connection(self._target.hostname, self._target.port)
                try:
                    await self._join((reader, writer), server)
                finally:
                    _reset(server[1])
        finally:
            _reset(writer)
            self._tasks.discard(task)

    async def _join(self, client: Streams, server: Streams) -> None:
        link = _Link()
        asked = asyncio.create_task(self._ask(link, client, server[1]))
        answered = asyncio.create_task(self._answer(link, server[0], client[1]))
        try:
            await asyncio.wait({asked, answered}, return_when=asyncio.FIRST_COMPLETED)
            if link.loss is not None and not answered.done():
                # The server is to finish what it was asked for, though nobody waits for it any more.
                await asyncio.wait({answered}, timeout=AT_WORK_S)
        finally:
            for task in (asked, answered):
                task.cancel()
            await asyncio.gather(asked, answered, return_exceptions=True)

    async def _ask(self, link: _Link, client: Streams, server: asyncio.StreamWriter) -> None:
        head = await client[0].readexactly(4)
        server.write(head + await client[0].readexactly(int.from_bytes(head, "big") - 4))
        messages = _Messages()
        while piece := await client[0].read(PIECE_BYTES):
            is_sent = False
            for kind, payload in messages.feed(piece):
                self._hear(link, kind, payload)
                is_sent |= kind == b"S"
            server.write(piece)
            await server.drain()
            if is_sent and link.loss is not None and link.loss.when is When.HASTY:
                _reset(client[1])
                return

    def _hear(self, link: _Link, kind: bytes, payload: bytes) -> None:
        first, _, rest = payload.partition(b"\0")
        if kind == b"P" and (called := _CALLED.search(rest)) is not None:
            link.functions[first] = called[1].decode()
        elif kind == b"B" and link.loss is None:
            link.loss = self._loss_of(link.functions.get(rest.partition(b"\0")[0], ""))

    def _loss_of(self, function: str) -> Loss | None:
        for loss in self._losses:
            if loss.function == function:
                if loss.passing == 0:
                    self._losses.remove(loss)
                    return loss
                loss.passing -= 1
                return None
        return None

    async def _answer(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        messages, kept, longest_bytes = _Messages(), b"", 0
        while piece := await reader.read(PIECE_BYTES):
            if (loss := link.loss) is None:
                writer.write(piece)
                await writer.drain()
                continue
            kept += piece
            for kind, payload in messages.feed(piece):
                longest_bytes = max(longest_bytes, len(payload) if kind == b"D" else 0)
                if kind != b"Z":
                    continue
                if longest_bytes >= loss.least_bytes:
                    self.forgotten[loss.function] += 1
                    return
                self._losses.insert(0, loss)
                link.loss = None
                writer.write(kept)
                messages, kept, longest_bytes = _Messages(), b"", 0
                break


class _Messages:
    """Cuts a stream of bytes into messages of a kind and a payload."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._rest += piece
        while len(self._rest) >= 5:
            end = 1 + int.from_bytes(self._rest[1:5], "big")
            if len(self._rest) < end:
                return
            kind, payload = bytes(self._rest[:1]), bytes(self._rest[5:end])
            del self._rest[:end]
            yield kind, payload


@asynccontextmanager
async def forgetting(url: str) -> AsyncIterator[Forgetful]:
    """A relay to the server of `url`, which passes everything until it is told to forget."""
    relay = Forgetful(url)
    await relay.open()
    try:
        yield relay
    finally:
        await relay.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does, if it is still open."""
    if writer.transport.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
