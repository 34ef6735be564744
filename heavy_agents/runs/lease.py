"""Authority over a run: for how long this process may act without having heard from the database.

Only the database's clock decides when a lease ends. This process knows when it *sent* the call that renewed
it, and that the lease began no earlier than that; so authority is given up one second before the lease could
have ended, measured on the monotonic clock from the sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from foundation.clock import Clock
from foundation.errors import DatabaseUnavailable
from heavy_agents.events import LeaseLost

__all__ = ["LEASE_S", "MARGIN_S", "Lease"]

T = TypeVar("T")

LEASE_S = 5.0
MARGIN_S = 1.0
RETRY_S = 0.1


class Lease:
    def __init__(self, token: UUID, *, sent_at_s: float, clock: Clock, lease_s: float = LEASE_S) -> None:
        self.token = token
        self._clock = clock
        self._lease_s = lease_s
        self._sent_at_s = sent_at_s

    def renewed(self, *, sent_at_s: float) -> None:
        """`sent_at_s`: monotonic time before the call that renewed it was sent."""
        self._sent_at_s = max(self._sent_at_s, sent_at_s)

    @property
    def remaining_s(self) -> float:
        """Seconds of authority left, unless renewed; 0 when there is none."""
        return max(self._sent_at_s + self._lease_s - MARGIN_S - self._clock.monotonic(), 0.0)

    @property
    def holds(self) -> bool:
        return self.remaining_s > 0

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that is safe to repeat until it is answered, as long as the lease holds.

        Raises:
            LeaseLost: the database did not answer before authority ended.
        """
        while True:
            try:
                return await call()
            except DatabaseUnavailable as error:
                if not self.holds:
                    raise LeaseLost from error
                await asyncio.sleep(RETRY_S)
