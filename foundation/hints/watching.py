"""Which runs are followed here, and the subscriptions that bring their events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from foundation.hints.wire import events_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from foundation.hints.connection import Connection

__all__ = ["Watching"]

# What may wait here of one run's events, where the library would keep 128 MB. What is dropped is said, and
# then the run is looked at.
MOST_MESSAGES: Final = 4096
MOST_BYTES: Final = 4 * 1024 * 1024


class Watching:
    """What is wished may change at any moment; `keep` follows."""

    def __init__(self) -> None:
        self._wished: set[UUID] = set()
        self._changed = asyncio.Event()
        self._kept: dict[UUID, Subscription] = {}

    def add(self, run_id: UUID) -> None:
        self._wished.add(run_id)
        self._changed.set()

    def remove(self, run_id: UUID) -> None:
        self._wished.discard(run_id)
        self._changed.set()

    async def begin(self, connection: Connection, arrived: Callable[[Msg], Awaitable[None]]) -> None:
        """Subscribe to all of them on a new connection; the server has it when this returns."""
        self._kept = {}
        await self._follow(connection, arrived)

    async def keep(
        self,
        connection: Connection,
        arrived: Callable[[Msg], Awaitable[None]],
        *,
        begun: Callable[[UUID], None],
    ) -> None:
        """Follow every change, for ever.

        Args:
            begun: told of a run whose events come from now on; those of before are in the log.
        """
        while True:
            await self._changed.wait()
            for run_id in await self._follow(connection, arrived):
                begun(run_id)

    async def _follow(self, connection: Connection, arrived: Callable[[Msg], Awaitable[None]]) -> list[UUID]:
        """The runs that are followed now and were not before."""
        self._changed.clear()
        added = [run_id for run_id in self._wished if run_id not in self._kept]
        removed = [run_id for run_id in self._kept if run_id not in self._wished]
        for run_id in removed:
            await self._kept.pop(run_id).unsubscribe()
        for run_id in added:
            self._kept[run_id] = await connection.subscribe(
                events_of(run_id),
                cb=arrived,
                pending_msgs_limit=MOST_MESSAGES,
                pending_bytes_limit=MOST_BYTES,
            )
        await connection.settle()
        return [run_id for run_id in added if run_id in self._wished]
