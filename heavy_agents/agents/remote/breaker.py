"""Whether another backend is asked at all: after some failures in a row it is left alone for a while.

    closed ── failures in a row ──► open ── its rest is over ──► one may try ── it answers ──► closed
                                      ▲                              │
                                      └──── it fails: a longer rest ─┘

Pure: the caller brings the time. A try whose end nobody tells is forgotten; another may follow a rest later.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Breaker"]

FAILURES: Final = 5
FIRST_REST_S: Final = 2.0
LONGEST_REST_S: Final = 60.0


class Breaker:
    """One backend's; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest_s = FIRST_REST_S
        self._until_s: float | None = None

    @property
    def is_open(self) -> bool:
        return self._until_s is not None

    def may_ask(self, now_s: float) -> bool:
        """Whether this one request may go; of those that come while it is open, the first after each rest."""
        if self._until_s is None:
            return True
        if now_s < self._until_s:
            return False
        self._until_s = now_s + self._rest_s
        return True

    def answered(self) -> bool:
        """It answers, whatever it says; whether that closes it."""
        was_open, self._until_s = self.is_open, None
        self._failures, self._rest_s = 0, FIRST_REST_S
        return was_open

    def failed(self, now_s: float) -> bool:
        """It cannot be reached, or says that it cannot answer; whether that opens it."""
        self._failures += 1
        if self._failures < FAILURES:
            return False
        if (was_open := self.is_open) is True:
            self._rest_s = min(self._rest_s * 2, LONGEST_REST_S)
        self._until_s = now_s + self._rest_s
        return not was_open
