"""A network that can fail: a TCP relay on loopback which a test cuts, silences and restores.

    async with relaying(port) as relay:
        ...                       # the client talks to relay.url
        relay.cut()               # what is open is reset, what is new is refused
        await relay.restore()
        relay.cut_after(700, toward="client")
        await relay.until_cut()

A cut is what a restarted proxy looks like. A silence is a black hole, as of a phone in a tunnel: both ends
believe that they are connected, nothing passes and nobody is told. What was sent into a silence arrives after
it, as TCP would bring it, unless one end has given up by then.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

__all__ = ["End", "Relay", "relaying"]

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
PIECE_BYTES = 65_536
CUT_WITHIN_S = 30.0

End = Literal["client", "server"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Connections to `port`, passed on to `target_port`; `accepted` counts them.

    A server that was restarted may have another port: set `target_port`, and new connections go there.

    Attributes:
        limit_bytes: toward a client, after which its connection is reset; None for no limit.
        losing: the next request that begins like this is passed on, and reset when its answer comes.
        resets: connections that ended for one of the two.
    """

    def __init__(self, target_port: int) -> None:
        self.accepted = 0
        self.resets = 0
        self.limit_bytes: int | None = None
        self.losing: bytes | None = None
        self.target_port = target_port
        # It holds the port while nothing listens there, so that a cut is a refusal and no stranger gets in.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._left: dict[End, int] = {}
        self._is_cut = asyncio.Event()
        self._passing = asyncio.Event()
        self._forgotten: list[asyncio.Event] = []

    def cut(self) -> None:
        """Reset every connection, both ways, and refuse new ones until it is restored. Safe twice."""
        self._left.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in tuple(self._writers):
            _reset(writer)
        self._is_cut.set()

    def cut_after(self, count: int, *, toward: End) -> None:
        """Cut once this many bytes more have passed in that direction, over all connections together.

        Args:
            count: at least 1. At most this many arrive; what comes after them is lost.
        """
        assert count > 0
        self._left[toward] = count

    def silence(self) -> None:
        """Let nothing pass any more. New connections are accepted and meet the same silence."""
        self._passing.clear()

    def forget(self) -> None:
        """Let nothing pass any more on what is open, as a proxy that has lost its table. New ones pass."""
        self._forgotten.append(self._passing)
        self.silence()
        self._passing = asyncio.Event()
        self._passing.set()

    async def restore(self) -> None:
        """Pass everything again, and accept connections."""
        for passing in (self._passing, *self._forgotten):
            passing.set()
        self._is_cut.clear()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._carry, sock=_bound(self.port))

    async def until_cut(self, *, within_s: float = CUT_WITHIN_S) -> None:
        async with asyncio.timeout(within_s):
            await self._is_cut.wait()

    async def close(self) -> None:
        self.cut()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._place.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its first byte to its last."""
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            # Closing cancels what is open; a cancelled handler would be reported as an error.
            with suppress(OSError, asyncio.CancelledError):
                await self._passing.wait()
                await self._join((reader, writer), await asyncio.open_connection(HOST, self.target_port))
        finally:
            _reset(writer)
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, client: Streams, server: Streams) -> None:
        self._writers.add(server[1])
        passing = self._passing
        doomed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as pumps:
                asked, answered = self._asked(client[0], doomed), self._answered(server[0], doomed)
                pumps.create_task(self._pump(asked, server[1], passing=passing, toward="server"))
                pumps.create_task(self._pump(answered, client[1], passing=passing, toward="client"))
            await asyncio.gather(_closed(client[1]), _closed(server[1]))
        except* OSError:
            pass
        finally:
            _reset(server[1])
            self._writers.discard(server[1])

    async def _pump(
        self,
        pieces: AsyncIterator[bytes],
        writer: asyncio.StreamWriter,
        *,
        passing: asyncio.Event,
        toward: End,
    ) -> None:
        async for piece in pieces:
            await passing.wait()
            writer.write(piece[: self._left.get(toward)])
            self._count(len(piece), toward)
            await writer.drain()
        await passing.wait()
        writer.write_eof()

    async def _asked(self, reader: asyncio.StreamReader, doomed: asyncio.Event) -> AsyncIterator[bytes]:
        while piece := await reader.read(PIECE_BYTES):
            if self.losing is not None and piece.startswith(self.losing):
                self.losing = None
                doomed.set()
            yield piece

    async def _answered(self, reader: asyncio.StreamReader, doomed: asyncio.Event) -> AsyncIterator[bytes]:
        passed_bytes = 0
        while piece := await reader.read(PIECE_BYTES):
            if doomed.is_set():
                break
            yield piece[: None if self.limit_bytes is None else self.limit_bytes - passed_bytes]
            passed_bytes += len(piece)
            if self.limit_bytes is not None and passed_bytes >= self.limit_bytes:
                break
        else:
            return
        self.resets += 1
        raise ConnectionResetError

    def _count(self, passed: int, toward: End) -> None:
        if toward not in self._left:
            return
        self._left[toward] -= passed
        if self._left[toward] <= 0:
            self.cut()


@asynccontextmanager
async def relaying(target_port: int) -> AsyncIterator[Relay]:
    """A relay that passes everything, until the block ends."""
    relay = Relay(target_port)
    await relay.restore()
    try:
        yield relay
    finally:
        await relay.close()


def _bound(port: int) -> socket.socket:
    """A socket at this port which may share it with another of ours."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does, if it is still open."""
    if writer.transport.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()
