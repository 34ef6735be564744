"""What is to be told and not yet sent: bounded, and whoever tells never waits for it.

When it is full, what comes is dropped and counted: those who are told too late look for themselves by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from foundation.hints.wire import Message

if TYPE_CHECKING:
    from foundation.hints.connection import Connection

__all__ = ["Outbox"]

MOST_MESSAGES: Final = 4096
MOST_BYTES: Final = 8 * 1024 * 1024
# What may be under way to the server before we wait until it has it.
UNDER_WAY_BYTES: Final = 512 * 1024


class Outbox:
    def __init__(self, dropped: Counter) -> None:
        self._dropped = dropped
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def put(self, message: Message) -> None:
        if len(self._messages) >= MOST_MESSAGES or self._bytes + message.size > MOST_BYTES:
            self._dropped.inc()
            return
        self._messages.append(message)
        self._bytes += message.size
        self._emptied.clear()
        self._filled.set()

    def drop_all(self) -> None:
        """There is nobody to send it to."""
        self._dropped.inc(len(self._messages))
        self._messages.clear()
        self._bytes = 0
        self._emptied.set()

    async def emptied(self) -> None:
        """Return once nothing is left to send."""
        await self._emptied.wait()

    async def send(self, connection: Connection) -> None:
        """Send what there is, for ever; raises when the connection is lost."""
        while True:
            self._filled.clear()
            while self._messages:
                message = self._messages.popleft()
                self._bytes -= message.size
                await connection.tell(message)
                if connection.pending_data_size > UNDER_WAY_BYTES:
                    await connection.settle()
            await connection.settle()
            if not self._messages:
                self._emptied.set()
                await self._filled.wait()
