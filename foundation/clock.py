"""What time it is, here and at the database.

Leases, deadlines and schedules are decided by the database's clock alone. A process only measures how
far its own clock is from it, and times its own waits on the monotonic clock, which never steps. One whose
clock is far off goes by the database's: whether a token has expired must not depend on who is asked.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "GuidedClock", "SystemClock"]


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall-clock time, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class GuidedClock(SystemClock):
    """The system's clock, put right by whoever has compared it with the database's."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return self.own_now() - self._ahead

    def own_now(self) -> datetime:
        """What this machine says."""
        return super().now()

    def guide(self, *, ahead_s: float) -> None:
        """Go by another clock from now on.

        Args:
            ahead_s: how far this machine's is ahead of it; 0 to go by this machine's again.
        """
        self._ahead = timedelta(seconds=ahead_s)
