"""Whether this process is ready, and for how long it has been draining, as gauges.

The platform asks for readiness at a deploy only; whoever watches the metrics sees it at any time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from foundation.clock import Clock
from foundation.telemetry.health import Health
from foundation.telemetry.metrics import Metrics

__all__ = ["Pulse"]

EVERY_S: Final = 15.0


class Pulse:
    """A lifecycle service; one a process."""

    def __init__(self, health: Health, metrics: Metrics, clock: Clock) -> None:
        self._health = health
        self._clock = clock
        self._ready = metrics.ready
        self._drains_since_s: float | None = None
        self._asking: asyncio.Task[None] | None = None
        metrics.draining_seconds.set_function(self._draining_s)

    async def start(self) -> None:
        self._asking = asyncio.create_task(self._ask_for_ever(), name="pulse.ask")

    async def drain(self) -> None:
        """Say so from now on; whoever watches sees a drain that takes too long while it does."""
        self._drains_since_s = self._clock.monotonic()
        await self.ask()

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask_for_ever(self) -> None:
        while True:
            await self.ask()
            await asyncio.sleep(EVERY_S)

    async def ask(self) -> None:
        self._ready.set(1 if (await self._health.readiness()).ready else 0)

    def _draining_s(self) -> float:
        since_s = self._drains_since_s
        return 0.0 if since_s is None else self._clock.monotonic() - since_s
