"""Who is reading or waiting here right now: counted by user, and sent away together at a shutdown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from foundation.errors import RateLimited

__all__ = ["Readers"]

MAX_A_USER = 100
RETRY_AFTER_S = 5


class Readers:
    """A lifecycle service: once drained, streams end and tell their clients to come back."""

    def __init__(self, *, max_a_user: int = MAX_A_USER) -> None:
        self._max_a_user = max_a_user
        self._open: Counter[UUID] = Counter()
        self._leaving = asyncio.Event()

    async def start(self) -> None:
        """Readers come by themselves."""

    async def drain(self) -> None:
        self._leaving.set()

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
            yield
        finally:
            self._open[user_id] -= 1
            if self._open[user_id] <= 0:
                del self._open[user_id]
