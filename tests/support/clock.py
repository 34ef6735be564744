"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["HandClock"]


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds
