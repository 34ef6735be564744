"""Writing to one client that reads server-sent events: blocks, and pings where there would be silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NoReturn

from starlette.types import Scope, Send

from routing.sse import PING
from routing.taking import taken_enough

__all__ = ["HEADERS", "StreamWriter"]

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    # Proxies that would collect the stream first are told not to.
    "X-Accel-Buffering": "no",
}


class StreamWriter:
    def __init__(self, scope: Scope, send: Send, *, ping_s: float) -> None:
        self._send = send
        self._taken_enough = taken_enough(scope)
        self._ping_s = ping_s
        self._wrote_s = asyncio.get_running_loop().time()

    async def begin(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, blocks: Iterable[bytes]) -> None:
        """Send each block once the client has taken the one before, and return once it has taken the last.

        While it takes nothing, nothing more is held for it. For a client that has gone nothing is waited for:
        somebody else has to end whoever writes to it.
        """
        for block in blocks:
            await self.hand_on(block)
            del block  # the transport has it
            await self._taken_enough()
            # To a client that has left, `send` never lets anybody else run.
            await asyncio.sleep(0)

    async def hand_on(self, block: bytes) -> None:
        """Send it, and leave it to what follows to wait."""
        await self._send({"type": "http.response.body", "body": block, "more_body": True})
        self._wrote_s = asyncio.get_running_loop().time()

    async def ping(self) -> NoReturn:
        """Break every silence, so that nobody between takes the connection for dead."""
        clock = asyncio.get_running_loop()
        while True:
            quiet_s = clock.time() - self._wrote_s
            if quiet_s < self._ping_s:
                await asyncio.sleep(self._ping_s - quiet_s)
            else:
                await self.write([PING])

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
