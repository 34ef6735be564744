"""Whether this process is ready, and for how long it has been draining, as gauges.

The platform asks for readiness at a deploy only; whoever watches the metrics sees it at any time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from foundation.telemetry.health import Health
from foundation.telemetry.metrics import Metrics

__all__ = ["Pulse"]

EVERY_S: Final = 15.0


class Pulse:
    """A lifecycle service; one a process."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._ready = metrics.ready
        self._asking: asyncio.Task[None] | None = None
        metrics.draining_seconds.set_function(lambda: health.draining_s)

    async def start(self) -> None:
        self._asking = asyncio.create_task(self._ask_for_ever(), name="pulse.ask")

    async def drain(self) -> None:
        """Say so from now on; whoever watches sees a drain that takes too long while it does.

        Nothing is asked: a check that hangs would keep runs from being given back.
        """
        self._ready.set(0)

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
