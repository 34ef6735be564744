"""Requests on their way in while this process leaves: none is begun, and no body is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from foundation.errors import Draining
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Health

__all__ = ["Arrivals"]


class Arrivals:
    """A lifecycle service: once readiness is withdrawn, whoever comes is sent to another process."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._limits: set[asyncio.Timeout] = set()
        self._tasks = TaskOwner("arrivals")

    async def start(self) -> None:
        self._tasks.spawn("refuse", self._refuse())

    async def drain(self) -> None:
        """Readiness was withdrawn before, and this with it."""

    async def stop(self) -> None:
        await self._tasks.stop()

    @property
    def are_refused(self) -> bool:
        return self._health.is_draining

    @staticmethod
    def refusal() -> Draining:
        return Draining("this server is restarting; send the request again")

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Wait for a part of a body, but not while this process leaves: then only what is there is taken.

        Raises:
            Draining: it does.
        """
        limit = asyncio.timeout(0 if self.are_refused else None)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise self.refusal() from None
            raise
        finally:
            self._limits.discard(limit)

    async def _refuse(self) -> None:
        await self._health.draining()
        # One timer for each body, moved to now: watching them one by one would cost every request two tasks.
        for limit in tuple(self._limits):
            limit.reschedule(asyncio.get_running_loop().time())
