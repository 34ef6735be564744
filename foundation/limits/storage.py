"""What `limits.aio` counts in: the table of this process, with Redis before it when there is one.

Redis is asked once a hit. Its answer is noted in the table, which so knows what is left and until when
without another question, and goes on from there should Redis go away.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from limits.aio.storage import Storage

from foundation.limits.shared import SharedCounts
from foundation.limits.windows import MAX_KEYS, Windows

__all__ = ["Counters"]


class Counters(Storage):
    STORAGE_SCHEME = None  # made here, never by an address

    def __init__(
        self,
        shared: SharedCounts | None = None,
        *,
        max_keys: int = MAX_KEYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._shared = shared
        self._now = now
        self._windows = Windows(max_keys=max_keys, now=now)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        if self._shared is not None:
            known = self._windows.get(key)
            window = await self._shared.count(key, amount, window_s=expiry, known=known)
            if window is not None:
                self._windows.put(key, window)
                return window.used
        return self._windows.add(key, amount, window_s=expiry)

    async def get(self, key: str) -> int:
        window = self._windows.get(key)
        return 0 if window is None else window.used

    async def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return self._now() if window is None else window.ends_at

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        return self._windows.clear()

    async def clear(self, key: str) -> None:
        self._windows.drop(key)
