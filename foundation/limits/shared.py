"""Counting in Redis, so that all replicas count a caller together; without Redis nobody waits.

    with Redis ──(no good answer within patience_s)──▶ alone ──(a trial is answered)──▶ with Redis

While alone, `count` says None at once and the process counts by itself; one task of ours tries again every
`rest_s` on new connections. So of a Redis that is away, slow or talks nonsense a request feels one wait at
most, and only those under way when it happened. Each change is a line in the log and a step of a gauge.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from foundation.errors import HeavyError
from foundation.lifecycle import TaskOwner
from foundation.limits.link import CONNECTIONS, Link
from foundation.limits.windows import Window
from foundation.telemetry import Metrics

__all__ = ["SharedCounts"]

log = structlog.get_logger(__name__)

TRIAL: Final = "trial"


class SharedCounts:
    """Never raises because of Redis, neither at the start nor later."""

    # Far more than an answer takes, and little to wait once.
    patience_s = 0.25

    def __init__(self, url: str, *, metrics: Metrics, rest_s: float = 1.0) -> None:
        """
        Args:
            url: of Redis, with its password.
            rest_s: between two trials to come back.
        """
        self._url = url
        self._metrics = metrics
        self._rest_s = rest_s
        self._link: Link | None = None
        # Also those that are being closed, by a task that may be ended before it has begun.
        self._open: set[Link] = set()
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._tasks = TaskOwner("limits")

    async def start(self) -> None:
        if (error := await self._connect()) is not None:
            self._be_alone(error)

    async def stop(self) -> None:
        await self._tasks.stop()
        self._link = None
        for link in tuple(self._open):
            await self._close(link)

    async def check(self) -> None:
        """For readiness, as a remark: the limit holds either way.

        Raises:
            HeavyError: this process counts alone.
        """
        if self._link is None:
            raise HeavyError("Redis does not answer; each process counts requests by itself")

    async def count(self, key: str, amount: int, *, window_s: int, known: Window | None) -> Window | None:
        """Count `amount` of `key` among all replicas; None when Redis cannot say.

        Args:
            known: the present window as it was when this process last heard of it.
        """
        if self._link is None:
            return None
        # A crowd of our own making is no fault of Redis: to wait for a turn does not count.
        async with self._turns:
            return await self._ask(key, amount, window_s=window_s, known=known)

    async def _ask(self, key: str, amount: int, *, window_s: int, known: Window | None) -> Window | None:
        link = self._link
        if link is None:  # lost while this one waited
            return None
        try:
            async with asyncio.timeout(self.patience_s):
                return await link.count(key, amount, window_s=window_s, known=known)
        # Whatever it is: what Redis or its client does must refuse nobody.
        except Exception as error:
            if self._link is link:
                self._be_alone(error)
            return None

    def _be_alone(self, error: Exception) -> None:
        lost, self._link = self._link, None
        self._metrics.limits_alone.set(1)
        # The kind only: a text may hold the address, which holds the password.
        log.warning("limits_counted_alone", reason=type(error).__name__)
        self._tasks.spawn("return", self._return(lost))

    async def _return(self, lost: Link | None) -> None:
        if lost is not None:
            await self._close(lost)
        await asyncio.sleep(self._rest_s)
        while await self._connect() is not None:
            await asyncio.sleep(self._rest_s)
        self._metrics.limits_alone.set(0)
        log.info("limits_counted_together")

    async def _connect(self) -> Exception | None:
        """Use Redis from now on if it counts as it should; otherwise what it did."""
        link: Link | None = None
        try:
            link = Link(self._url)
            self._open.add(link)
            async with asyncio.timeout(self.patience_s):
                await link.count(TRIAL, 1, window_s=1, known=None)
        except Exception as error:
            if link is not None:
                await self._close(link)
            return error
        self._link = link
        return None

    async def _close(self, link: Link) -> None:
        await link.close()
        self._open.discard(link)
