"""Which sockets are open in this process: counted by user, and sent away together at a shutdown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from foundation.errors import RateLimited
from foundation.lifecycle import TaskOwner
from routing.readers import Readers
from routing.socket.connection import Connection
from routing.socket.farewell import restarting

__all__ = ["Sockets"]

RETRY_AFTER_S: Final = 5


class Sockets:
    """One task watches for all of them whether the process leaves; it lives while any socket is open."""

    def __init__(self, readers: Readers, *, max_a_user: int) -> None:
        self._readers = readers
        self._max_a_user = max_a_user
        self._open: set[Connection] = set()
        self._by_user: Counter[UUID] = Counter()
        self._tasks = TaskOwner("sockets")
        self._watch: asyncio.Task[None] | None = None

    @contextmanager
    def present(self, connection: Connection) -> Iterator[None]:
        """Have `connection` told when this process leaves, for as long as the block lasts."""
        self._open.add(connection)
        if self._watch is None or self._watch.done():
            self._watch = self._tasks.spawn("watch", self._send_away())
        try:
            with self._readers.present():
                yield
        finally:
            self._open.discard(connection)
            if not self._open:
                self._watch.cancel()

    @contextmanager
    def of_user(self, user_id: UUID) -> Iterator[None]:
        """Count one socket of the user for as long as the block lasts.

        Raises:
            RateLimited: the user has as many as one may.
        """
        if self._by_user[user_id] >= self._max_a_user:
            raise RateLimited(retry_after_s=RETRY_AFTER_S, policy=f"{self._max_a_user} open sockets a user")
        self._by_user[user_id] += 1
        try:
            yield
        finally:
            self._by_user[user_id] -= 1
            if self._by_user[user_id] <= 0:
                del self._by_user[user_id]

    async def _send_away(self) -> None:
        await self._readers.leaving()
        for connection in tuple(self._open):
            connection.end(restarting())
