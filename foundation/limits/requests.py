"""How often one caller may ask, over HTTP and on sockets together: a coarse limit a minute.

`limits.aio` holds the strategy. With Redis all replicas count a caller together, otherwise this process does.
Limits of the plans are counted in SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from foundation.limits.addresses import AddressLimit
from foundation.limits.shared import SharedCounts
from foundation.limits.verdict import LimitVerdict
from foundation.limits.windows import MAX_KEYS

__all__ = ["RequestLimit", "RequestLimits"]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Who proves nothing is counted as an address among `strangers`; a proved caller among `callers`."""

    strangers: AddressLimit
    callers: RequestLimit


class RequestLimit:
    """`per_minute` requests in a window that begins with a caller's first one. A service."""

    def __init__(
        self,
        per_minute: int,
        *,
        shared: SharedCounts | None = None,
        max_keys: int = MAX_KEYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            shared: where other replicas count too; started and stopped with this.
            max_keys: callers remembered at once; beyond that the oldest windows are forgotten.
            now: seconds since the epoch; the system's with `shared`.
        """
        # Imported on first use, as slowapi is.
        from limits import RateLimitItemPerMinute
        from limits.aio.strategies import FixedWindowRateLimiter

        from foundation.limits.storage import Counters

        self._shared = shared
        self._now = now
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = FixedWindowRateLimiter(Counters(shared, max_keys=max_keys, now=now))

    async def start(self) -> None:
        if self._shared is not None:
            await self._shared.start()

    async def drain(self) -> None:
        """Whoever is still being served is still counted."""

    async def stop(self) -> None:
        if self._shared is not None:
            await self._shared.stop()

    async def check(self, key: str) -> LimitVerdict:
        """Count one request of `key` and say whether it is fine. A refused one counts as well."""
        allowed = await self._limiter.hit(self._item, key)
        ends_at, remaining = await self._limiter.get_window_stats(self._item, key)
        return LimitVerdict.of_a_minute(
            allowed=allowed, quota=self._item.amount, remaining=remaining, left_s=ends_at - self._now()
        )
