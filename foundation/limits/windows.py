"""How often each key has come in its present window: a table in memory that cannot grow without bound.

One thread: the event loop's. Windows end nearly in the order in which they began, so the oldest is dropped
from the front, when it has ended or when there are too many keys at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["MAX_KEYS", "Window", "Windows"]

MAX_KEYS = 50_000


class Window(NamedTuple):
    """`used` so far; over at `ends_at`, seconds since the epoch."""

    used: int
    ends_at: float


class Windows:
    def __init__(self, *, max_keys: int = MAX_KEYS, now: Callable[[], float] = time.time) -> None:
        """
        Args:
            max_keys: keys remembered at once; about 240 bytes each.
            now: seconds since the epoch.
        """
        self._max_keys = max_keys
        self._now = now
        self._windows: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, key: str, amount: int, *, window_s: float) -> int:
        """Count `amount` and return how many the window has; it begins with its first."""
        present = self.get(key) or Window(0, self._now() + window_s)
        used = present.used + amount
        self.put(key, Window(used, present.ends_at))
        return used

    def put(self, key: str, window: Window) -> None:
        """Take over what was counted elsewhere."""
        before = self._windows.get(key)
        if before is not None and before.ends_at != window.ends_at:
            del self._windows[key]  # so that the new one stands at the end of the queue
        self._windows[key] = window
        self._forget()

    def get(self, key: str) -> Window | None:
        """None when nothing was counted in the present window."""
        window = self._windows.get(key)
        return window if window is not None and window.ends_at > self._now() else None

    def drop(self, key: str) -> None:
        self._windows.pop(key, None)

    def clear(self) -> int:
        """How many were dropped."""
        dropped = len(self._windows)
        self._windows.clear()
        return dropped

    def _forget(self) -> None:
        now = self._now()
        while self._windows:
            oldest = next(iter(self._windows))
            if len(self._windows) <= self._max_keys and self._windows[oldest].ends_at > now:
                return
            del self._windows[oldest]
