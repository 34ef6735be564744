"""How often one caller may ask: a coarse limit a minute, counted in this process.

slowapi holds the limiter; its middleware and decorators stay out. Both want a view function, know only
Starlette's request, and the pure ASGI one sends `http.response.start` again with every part of a stream. So
the strategy underneath is asked directly; it never waits and does no I/O. Limits of the plans are counted in
SQL.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from foundation.limits.verdict import LimitVerdict

__all__ = ["RequestLimit"]

WINDOW_S: Final = 60


class RequestLimit:
    """`per_minute` requests in a window that begins with a caller's first one."""

    def __init__(
        self, per_minute: int, *, max_keys: int = 50_000, now: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            max_keys: callers remembered at once; beyond that the oldest windows are forgotten.
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
        return LimitVerdict(
            allowed=allowed,
            quota=self._item.amount,
            window_s=WINDOW_S,
            remaining=remaining,
            reset_s=max(1, math.ceil(ends_at - self._now())),
        )
