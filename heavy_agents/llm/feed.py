"""How an answer is read: a task of its own takes what the network brings, the asker takes all there is.

Bytes that came together are handed over together, and the more the asker lags the fewer hand-overs there are.
Loaded with the HTTP library; nothing of it is imported at the start.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from types import TracebackType
from typing import Final

import anyio
import httpx2

from foundation.outbound import OutboundFailed
from heavy_agents.llm.errors import Broken

__all__ = ["Feed"]

MAX_WAITING_BYTES: Final = 256 * 1024
CLOSE_WITHIN_S: Final = 2.0
# The last two are what the HTTP library does not translate.
CUT: Final = (httpx2.HTTPError, httpx2.StreamError, OutboundFailed, ssl.SSLError, anyio.EndOfStream)


class Feed:
    """`async with`: the connection is closed at its end, unless the answer was read to its own."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Feed:
        self._reader = asyncio.create_task(self._read(), name="llm.read")
        self._reader.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await asyncio.wait({self._reader}, timeout=CLOSE_WITHIN_S)
        await self._answer.aclose()

    async def take(self) -> bytes:
        """All that has come, at least one byte; nothing at the end.

        Raises:
            Broken: the connection failed, and everything before that was taken.
        """
        if not self._parts:
            self._has_news.clear()
            if self._reader is None or self._reader.done():
                return self._end()
            await self._has_news.wait()
            if not self._parts:
                return self._end()
        taken = b"".join(self._parts)
        self._parts.clear()
        self._size_bytes = 0
        self._has_room.set()
        return taken

    async def finish(self, *, within_s: float) -> None:
        """Let an answer that is known to be over end by itself, so that its connection can be used again."""
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=within_s)

    def _ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled():
            reader.exception()  # seen: nobody may be left to ask for it
        self._has_news.set()

    def _end(self) -> bytes:
        if self._reader is not None:
            self._reader.result()
        return b""

    async def _read(self) -> None:
        is_cut = False
        is_packed = "content-encoding" in self._answer.headers
        try:
            async with aclosing(
                self._answer.aiter_bytes() if is_packed else self._answer.aiter_raw()
            ) as parts:
                async for part in parts:
                    self._parts.append(part)
                    self._size_bytes += len(part)
                    self._has_news.set()
                    if self._size_bytes > MAX_WAITING_BYTES:
                        self._has_room.clear()
                        await self._has_room.wait()
        except CUT:
            # Raised outside, so that what the network said goes into no log.
            is_cut = True
        if is_cut:
            raise Broken("the connection was cut")
