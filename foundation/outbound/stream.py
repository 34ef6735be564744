"""How a guarded socket is written to and looked at with as few calls of the system as it takes.

The library under the pool sends a request's head and body apart, and asks every idle connection before each
request whether its server has closed it. Either costs as much as all the rest of a short exchange.
"""

from __future__ import annotations

import math
import ssl
import time
from contextlib import suppress
from typing import Any, Final

import httpcore2

__all__ = ["FrugalStream"]

# More than this is sent at once; a body in parts goes out while it comes in.
HELD_BYTES: Final = 64 * 1024
# A connection its server closed so recently is found out by using it, as is one closed a moment later.
LOOK_EVERY_S: Final = 0.1


class FrugalStream(httpcore2.AsyncNetworkStream):
    """Holds what is written until something is read: then a small request is one packet."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent = bytearray()
        self._looked_s = -math.inf
        self._is_readable = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the pool's
        # A server may answer, and close, before it has read everything; its answer is worth reading.
        with suppress(httpcore2.WriteError):
            await self._send(timeout)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the pool's
        self._unsent += buffer
        if len(self._unsent) > HELD_BYTES:
            await self._send(timeout)

    async def aclose(self) -> None:
        self._unsent.clear()
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the pool's own signature
    ) -> httpcore2.AsyncNetworkStream:
        await self._send(timeout)
        return FrugalStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    # Any: what the pool may ask for is of every kind.
    def get_extra_info(self, info: str) -> Any:
        return self._looked() if info == "is_readable" else self._stream.get_extra_info(info)

    def _looked(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._is_readable = bool(self._stream.get_extra_info("is_readable"))
        return self._is_readable

    async def _send(self, timeout_s: float | None) -> None:
        if self._unsent:
            held, self._unsent = bytes(self._unsent), bytearray()
            await self._stream.write(held, timeout_s)
