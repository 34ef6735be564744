"""How much of the computing processes one run may take: a few jobs at once, so that others get theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from foundation.errors import Json
from foundation.workers import Progress
from heavy_agents.tools.process import Process

__all__ = ["Share"]


class Share:
    """A `Process` that hands on at most `at_once` jobs; the others wait here and not in everybody's queue."""

    def __init__(self, process: Process, *, at_once: int) -> None:
        self._process = process
        self._turns = asyncio.Semaphore(at_once)  # first in, first out

    async def run(
        self,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        on_progress: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> Json:
        """As `Process.run`; waiting here counts against no job's limit."""
        async with self._turns:
            return await self._process.run(target, arguments, timeout_s=timeout_s, on_progress=on_progress)
