"""The table of windows behind the storage interface of `limits`, for slowapi, which calls it synchronously.

The library's own memory storage starts a thread for nearly every hit on a quiet server (200 µs against
4 µs) and has no bound but time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from limits.storage import Storage

from foundation.limits.windows import MAX_KEYS, Windows

__all__ = ["SCHEME", "BoundedCounters"]

SCHEME: Final = "switchyard-memory"


class BoundedCounters(Storage):
    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - the library's own attribute

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,
        *,
        max_keys: int = MAX_KEYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(uri, wrap_exceptions)
        self._now = now
        self._windows = Windows(max_keys=max_keys, now=now)

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._windows.add(key, amount, window_s=expiry)

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return 0 if window is None else window.used

    def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return self._now() if window is None else window.ends_at

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        return self._windows.clear()

    def clear(self, key: str) -> None:
        self._windows.drop(key)
