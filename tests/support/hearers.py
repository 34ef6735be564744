"""Somebody who writes down what hints tell, for tests of what carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from foundation.hints import Rows

__all__ = ["Hearer"]

WITHIN_S = 20.0


@dataclass
class Hearer:
    """A `Listener`. `free` is what the test says there is."""

    kinds: Sequence[str] = ()
    free: int = 1
    works: int = 0
    misses: int = 0
    cancels: list[UUID] = field(default_factory=list)
    told: list[tuple[UUID, Rows | None]] = field(default_factory=list)

    def work(self) -> None:
        self.works += 1

    def cancel(self, run_id: UUID) -> None:
        self.cancels.append(run_id)

    def news(self, run_id: UUID, rows: Rows | None) -> None:
        self.told.append((run_id, rows))

    def missed(self) -> None:
        self.misses += 1

    async def until_told(self, run_id: UUID) -> None:
        """Return once something was told of the run."""
        async with asyncio.timeout(WITHIN_S):
            while run_id not in {told for told, _ in self.told}:
                await asyncio.sleep(0.01)
