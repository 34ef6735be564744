"""Who is reading or waiting here right now: counted by user, and sent away together at a shutdown.

Whoever reads is told to come back only after the runs were given back, so that coming back brings them on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from foundation.errors import RateLimited

__all__ = ["Readers"]

log = structlog.get_logger(__name__)

MAX_A_USER = 100
DRAIN_LOOK_S = 0.02
RETRY_AFTER_S = 5


class Readers:
    """A lifecycle service: once drained, streams end and tell their clients to come back."""

    def __init__(self, *, max_a_user: int = MAX_A_USER) -> None:
        self._max_a_user = max_a_user
        self._open: Counter[UUID] = Counter()
        self._here = 0  # readers and sockets
        self._leaving = asyncio.Event()

    async def start(self) -> None:
        """Readers come by themselves."""

    async def drain(self) -> None:
        """Tell all of them to come back, and see them off."""
        clock = asyncio.get_running_loop()
        began_s, readers = clock.time(), self._here
        self._leaving.set()
        try:
            while self._here:
                await asyncio.sleep(DRAIN_LOOK_S)
        finally:
            took_ms = round((clock.time() - began_s) * 1000)
            log.info("readers_sent_away", readers=readers, left=self._here, took_ms=took_ms)

    async def stop(self) -> None:
        self._leaving.set()

    async def leaving(self) -> None:
        """Return once this process sends its readers away."""
        await self._leaving.wait()

    def check(self, user_id: UUID) -> None:
        """
        Raises:
            RateLimited: this user reads as much as one may.
        """
        if self._open[user_id] >= self._max_a_user:
            policy = f"{self._max_a_user} open streams a user"
            raise RateLimited(retry_after_s=RETRY_AFTER_S, policy=policy)

    @contextmanager
    def reading(self, user_id: UUID) -> Iterator[None]:
        """Count one reader for as long as the block lasts."""
        self._open[user_id] += 1
        try:
            with self.present():
                yield
        finally:
            self._open[user_id] -= 1
            if self._open[user_id] <= 0:
                del self._open[user_id]

    @contextmanager
    def present(self) -> Iterator[None]:
        """Be seen off at a drain, for as long as the block lasts."""
        self._here += 1
        try:
            yield
        finally:
            self._here -= 1
