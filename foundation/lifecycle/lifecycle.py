"""The order of things: services start one after another, and drain and stop in reverse.

A service that fails to start stops those before it, so a half-started process never serves. Draining
comes before stopping: a draining service takes nothing new and hands over what it has, while everything
below it still works.

Draining and stopping share out the time there is: a service that hangs takes a part of what is left, never
all of it, so that those after it have their turn before the process must be gone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

import structlog

__all__ = ["Lifecycle", "Service"]

log = structlog.get_logger(__name__)

# What one service may take of the time that is left.
SHARE = 1 / 2


class Service(Protocol):
    """Something with a beginning and an end. Every method may be called once, in this order."""

    async def start(self) -> None:
        """Be ready when this returns, or raise."""
        ...

    async def drain(self) -> None:
        """Take nothing new and hand over what is under way."""
        ...

    async def stop(self) -> None:
        """Release everything. Also called when `start` failed half-way."""
        ...


class Lifecycle:
    def __init__(self, services: Sequence[Service], *, stop_limit_s: float = 10.0) -> None:
        self._services = services
        self._stop_limit_s = stop_limit_s
        self._started: list[Service] = []
        self._is_drained = False

    async def start(self) -> None:
        try:
            for service in self._services:
                self._started.append(service)
                await service.start()
        except BaseException:
            await self.stop()
            raise

    async def drain(self, *, within_s: float) -> None:
        """Drain the services, from the top down; what one leaves after its share is left to `stop`.

        Repeats safely: it is done once.
        """
        if self._is_drained:
            return
        self._is_drained = True
        ends_at_s = asyncio.get_running_loop().time() + within_s
        for service in reversed(self._started):
            await self._drain_one(service, within_s=_left_s(ends_at_s) * SHARE)

    async def stop(self, *, within_s: float = math.inf) -> None:
        ends_at_s = asyncio.get_running_loop().time() + within_s
        while self._started:
            limit_s = min(self._stop_limit_s, _left_s(ends_at_s) * SHARE)
            await self._stop_one(self._started.pop(), within_s=limit_s)

    async def _drain_one(self, service: Service, *, within_s: float) -> None:
        name = type(service).__name__
        try:
            async with asyncio.timeout(within_s):
                await service.drain()
        except TimeoutError:
            log.error("drain_late", service=name, within_s=round(within_s, 3))  # noqa: TRY400 - where it hung, nobody knows
        except Exception:
            # What one cannot hand over must not keep the others from handing over theirs.
            log.exception("drain_failed", service=name)

    async def _stop_one(self, service: Service, *, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await service.stop()
        except TimeoutError:
            log.warning("stop_late", service=type(service).__name__, within_s=round(within_s, 3))
        except Exception:
            # One service that cannot stop must not keep the others from stopping.
            log.exception("service_stop_failed", service=type(service).__name__)


def _left_s(ends_at_s: float) -> float:
    return max(ends_at_s - asyncio.get_running_loop().time(), 0.0)
