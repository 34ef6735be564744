"""How often one address may ask that proves nothing: a coarse limit a minute, counted in this process alone.

slowapi holds the limiter; its middleware and decorators stay out. Both want a view function, know only
Starlette's request, and the pure ASGI one sends `http.response.start` again with every part of a stream. So
the strategy underneath is asked directly; it never waits and does no I/O: a flood of strangers must not
become one of questions to Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from foundation.limits.verdict import LimitVerdict
from foundation.limits.windows import MAX_KEYS

__all__ = ["AddressLimit"]


class AddressLimit:
    """`per_minute` requests in a window that begins with an address's first one."""

    def __init__(
        self, per_minute: int, *, max_keys: int = MAX_KEYS, now: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            max_keys: addresses remembered at once; beyond that the oldest windows are forgotten.
            now: seconds since the epoch.
        """
        # Imported on first use: together they cost a fifth of the start.
        from limits import RateLimitItemPerMinute
        from slowapi import Limiter

        from foundation.limits.counters import SCHEME

        # Any: the library annotates options as strings and passes them on untouched.
        options: dict[str, Any] = {"max_keys": max_keys, "now": now}
        self._now = now
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = Limiter(
            key_func=str,
            strategy="fixed-window",
            storage_uri=f"{SCHEME}://",
            storage_options=options,
        ).limiter

    def check(self, key: str) -> LimitVerdict:
        """Count one request of `key` and say whether it is fine. A refused one counts as well."""
        allowed = self._limiter.hit(self._item, key)
        ends_at, remaining = self._limiter.get_window_stats(self._item, key)
        return LimitVerdict.of_a_minute(
            allowed=allowed, quota=self._item.amount, remaining=remaining, left_s=ends_at - self._now()
        )
