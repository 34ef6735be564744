"""Where requests are counted: a bounded table in memory behind the `limits` storage interface.

The library's own memory storage starts a thread for nearly every hit on a quiet server (200 µs against
4 µs) and has no bound but time. Here windows end in the order in which they began, so the oldest is dropped
from the front, when it has ended or when there are too many callers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from limits.storage import Storage

__all__ = ["SCHEME", "BoundedCounters"]

SCHEME: Final = "switchyard-memory"


class BoundedCounters(Storage):
    """Fixed windows by key. One window length per table, and one thread: the event loop's."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - the library's own attribute

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,
        *,
        max_keys: int = 50_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            max_keys: callers remembered at once; about 200 bytes each.
            now: seconds since the epoch, as the library wants them.
        """
        super().__init__(uri, wrap_exceptions)
        self._max_keys = max_keys
        self._now = now
        self._windows: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count `amount` and return how many the window has; it begins with its first hit."""
        self._forget_ended()
        count, ends_at = self._windows.get(key, (0, self._now() + expiry))
        self._windows[key] = (count + amount, ends_at)
        while len(self._windows) > self._max_keys:
            del self._windows[next(iter(self._windows))]
        return count + amount

    def get(self, key: str) -> int:
        self._forget_ended()
        return self._windows.get(key, (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (0, self._now()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        dropped = len(self._windows)
        self._windows.clear()
        return dropped

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _forget_ended(self) -> None:
        now = self._now()
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest][1] > now:
                return
            del self._windows[oldest]
