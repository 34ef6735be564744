"""The order of things: services start one after another, drain together, stop in reverse.

A service that fails to start stops those before it, so a half-started process never serves. Draining
comes before stopping: a draining service takes nothing new and hands over what it has, while everything
below it still works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

__all__ = ["Lifecycle", "Service"]

log = structlog.get_logger(__name__)


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

    async def start(self) -> None:
        try:
            for service in self._services:
                self._started.append(service)
                await service.start()
        except BaseException:
            await self.stop()
            raise

    async def drain(self, *, within_s: float) -> None:
        """Drain all services at once; what is not done after `within_s` seconds is left to `stop`."""
        drains = [asyncio.ensure_future(service.drain()) for service in self._started]
        if not drains:
            return
        done, late = await asyncio.wait(drains, timeout=within_s)
        for drain in done:
            if (error := drain.exception()) is not None:
                log.error("drain_failed", exc_info=error)
        for drain in late:
            drain.cancel()
        if late:
            log.error("drain_overrun", services=len(late), within_s=within_s)

    async def stop(self) -> None:
        while self._started:
            await self._stop_one(self._started.pop())

    async def _stop_one(self, service: Service) -> None:
        try:
            async with asyncio.timeout(self._stop_limit_s):
                await service.stop()
        except Exception:
            # One service that cannot stop must not keep the others from stopping.
            log.exception("service_stop_failed", service=type(service).__name__)
