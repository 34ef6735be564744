"""Where a tool computes: processes that can be ended at any moment, so they may get a stranger's input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from foundation.errors import Json
from foundation.workers import Progress

__all__ = ["Process"]


class Process(Protocol):
    """`foundation.workers.WorkerPool` is one."""

    async def run(
        self,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        on_progress: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> Json:
        """What the function `target` returns.

        Raises:
            HeavyError: one of `foundation.workers`, for a job that failed or never started.
        """
        ...
