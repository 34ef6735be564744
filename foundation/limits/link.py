"""The connections to one Redis, and a count in it: one round trip, two for a window others have begun."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from foundation.limits.windows import Window

__all__ = ["CONNECTIONS", "Link"]

PREFIX: Final = "switchyard"
CONNECTIONS: Final = 16  # how many may ask at once
CLOSE_S: Final = 1.0
NO_END: Final = -1  # of PTTL; a window that is over is -2


class Link:
    """Connects when it is first asked. Nothing is tried twice, and no wait has a limit: the caller sets one.

    A wait that is broken off closes its connection, so that nobody reads another's answer.
    """

    def __init__(self, url: str) -> None:
        """
        Raises:
            Exception: the client's own; `url` is none it can use. The text may repeat it.
        """
        # Imported on first use: most servers have no Redis.
        from limits.aio.storage import RedisStorage
        from redis.asyncio import ConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._pool = ConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            socket_timeout=None,
            socket_connect_timeout=CLOSE_S,  # it bounds the goodbye as well
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._client = Redis(connection_pool=self._pool)
        # Any: the library annotates options as plain values and passes the pool on untouched. An address
        # of its own would have to name the port, and its complaints repeat the password.
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=PREFIX, **options)

    async def count(self, key: str, amount: int, *, window_s: int, known: Window | None) -> Window:
        """
        Raises:
            ValueError, TypeError: the answer is no count.
            Exception: the client's own.
        """
        # In one script with the end of the window, so that no count is left without one.
        count = await self._storage.incr(key, window_s, amount)
        # An answer that is no number at all fails at this as well.
        if count < amount:
            raise ValueError("the answer is no count")
        if count == amount:
            return Window(count, time.time() + window_s)
        # A count that has grown goes on in the window we know.
        if known is not None and known.used < count:
            return Window(count, known.ends_at)
        return Window(count, time.time() + await self._left_s(key, window_s))

    async def close(self) -> None:
        """Does not raise: what is left of a broken connection is no longer of interest."""
        with suppress(Exception):
            await self._pool.aclose()

    async def _left_s(self, key: str, window_s: int) -> float:
        """Seconds until the window ends. The library's own answer is rounded to whole ones, up or down."""
        name = f"{PREFIX}:{key}"
        left_ms = await self._client.pttl(name)
        if left_ms == NO_END:
            # Somebody took it away; the count would refuse this caller for ever.
            await self._client.expire(name, window_s)
            return window_s
        return max(left_ms, 1) / 1000
