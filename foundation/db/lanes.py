"""HTTP connections, so many at most, of which each is a pool of one.

The library's pool looks at every connection it has, and asks the system about every idle one, for every
request and once more after it: with 16 connections that took more than all the rest of a call. Here the one
that was used last is taken, and nobody looks at the others.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import httpx

__all__ = ["Lanes"]

# Shorter than what gateways and PostgREST keep one that is idle, so that we rarely use one they are closing.
KEPT_S: Final = 20.0


class Lanes(httpx.AsyncBaseTransport):
    """Answers are read whole here, before their connection is anybody else's."""

    def __init__(self, count: int, *, tls: ssl.SSLContext, wait_s: float) -> None:
        """
        Args:
            wait_s: how long a request may wait for its turn before it is a PoolTimeout.
        """
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEPT_S)
        self._lanes = [
            httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits) for _ in range(count)
        ]
        # The last is taken first.
        self._free = list(self._lanes)
        self._turns = asyncio.Semaphore(count)
        self._wait_s = wait_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._turn(request)
        lane = self._free.pop()
        try:
            response = await lane.handle_async_request(request)
            await response.aread()
        finally:
            self._free.append(lane)
            self._turns.release()
        return response

    async def aclose(self) -> None:
        for lane in self._lanes:
            await lane.aclose()

    async def _turn(self, request: httpx.Request) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("no connection came free", request=request) from error
