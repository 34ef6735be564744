"""What stands before a server on a platform: it speaks TLS with the client and plain HTTP with the server.

It keeps what clients have sent, so that a test can read what a server was told.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["Front", "fronting"]

HOST = "127.0.0.1"
PIECE_BYTES = 65_536


class Front:
    """`url` has the name localhost; `accepted` counts connections, `told` is what came over all of them."""

    def __init__(self, target_port: int, *, context: ssl.SSLContext) -> None:
        self.target_port = target_port
        self.accepted = 0
        self.told = bytearray()
        self.port = 0
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._carry, HOST, 0, ssl=self._context)
        self.port = self._listener.sockets[0].getsockname()[1]

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
        self.accepted += 1
        self._tasks.add(task)
        try:
            # Closing cancels what is open; a cancelled handler would be reported as an error.
            with suppress(OSError, ssl.SSLError, asyncio.CancelledError):
                server = await asyncio.open_connection(HOST, self.target_port)
                await self._join((reader, writer), server)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _join(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Until either end closes: a platform's proxy keeps neither alone."""
        pumps = [
            asyncio.create_task(_pump(client[0], server[1], kept=self.told)),
            asyncio.create_task(_pump(server[0], client[1], kept=None)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            server[1].transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, kept: bytearray | None
) -> None:
    while piece := await reader.read(PIECE_BYTES):
        if kept is not None:
            kept += piece
        writer.write(piece)
        await writer.drain()


@asynccontextmanager
async def fronting(target_port: int, *, certificate: Path, key: Path) -> AsyncIterator[Front]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    front = Front(target_port, context=context)
    await front.open()
    try:
        yield front
    finally:
        await front.close()
