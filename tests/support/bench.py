"""A place to compute that is never busy, and counts the jobs that are under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from foundation.errors import Json
from foundation.workers import Progress

__all__ = ["Bench", "until"]


class Bench:
    """Each job ends with `result` once `may_end` is set."""

    def __init__(self, result: Json) -> None:
        self._result = result
        self.may_end = asyncio.Event()
        self.asked = 0
        self.under_way = 0
        self.most = 0

    async def run(
        self,
        target: str,  # noqa: ARG002
        arguments: dict[str, Json],  # noqa: ARG002
        *,
        timeout_s: float,  # noqa: ARG002
        on_progress: Callable[[Progress], Awaitable[None]] | None = None,  # noqa: ARG002
    ) -> Json:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.may_end.wait()
        finally:
            self.under_way -= 1
        return self._result


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)
