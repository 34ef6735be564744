"""How late the loop of a server is: what a request for liveness takes, asked all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["probing"]

EVERY_S: Final = 0.01
REQUEST: Final = b"GET /health/liveness HTTP/1.1\r\nHost: benchmark\r\n\r\n"


@asynccontextmanager
async def probing(port: int) -> AsyncIterator[list[float]]:
    """Milliseconds that each request took, as long as the block lasts; at most one is under way."""
    took_ms: list[float] = []
    asking = asyncio.create_task(_ask(port, took_ms))
    try:
        yield took_ms
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def _ask(port: int, took_ms: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        began_s = time.perf_counter()
        writer.write(REQUEST)
        await reader.readuntil(b"}")
        took_ms.append((time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(EVERY_S)
