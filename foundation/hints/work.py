"""How a worker hears of waiting runs on one connection: by turns from the stream, or all at once without one.

A server whose JetStream is off, or has no room, still carries the same messages to everybody who listens:
then every worker looks for every run, which is more looking and no less found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from foundation.hints.port import Listener
from foundation.hints.pull import Pull, Refused
from foundation.hints.stream import Rules, prepare
from foundation.hints.wire import RUNS, token_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from foundation.hints.connection import Connection

__all__ = ["Work"]

API_S: Final = 2.0
# Until a server without streams is asked again, and one whose stream went away.
RETRY_S: Final = 30.0
AGAIN_S: Final = 0.2


class Work:
    def __init__(
        self,
        listener: Listener,
        *,
        rules: Rules,
        without_streams: Callable[[Exception | None], None],
    ) -> None:
        """
        Args:
            without_streams: told why there are none, or None once there are.
        """
        self._listener = listener
        self._kinds = listener.kinds
        self._rules = rules
        self._without_streams = without_streams

    async def hear(self, connection: Connection) -> None:
        """Hear for ever; raises when the connection is lost."""
        from nats.errors import NoRespondersError
        from nats.js.errors import APIError

        streams = connection.jetstream(timeout=API_S)
        while True:
            try:
                await prepare(streams, kinds=list(self._kinds), rules=self._rules)
            except (APIError, NoRespondersError, TimeoutError) as error:
                self._without_streams(error)
                await self._hear_all(connection)
            else:
                self._without_streams(None)
                await self._take(connection)

    async def _take(self, connection: Connection) -> None:
        """Until there is nothing any more to take from."""
        # What was told before there was a stream was told to nobody.
        self._listener.work()
        try:
            async with asyncio.TaskGroup() as group:
                for kind in self._kinds:
                    group.create_task(Pull(connection, self._listener, kind=kind).take())
        except* Refused:
            await asyncio.sleep(_about(AGAIN_S))

    async def _hear_all(self, connection: Connection) -> None:
        """For a while; then streams may have been turned on."""
        heard = [
            await connection.subscribe(f"{RUNS}.{token_of(kind)}.*", cb=self._arrived) for kind in self._kinds
        ]
        await connection.settle()
        self._listener.work()
        await asyncio.sleep(_about(RETRY_S))
        for each in heard:
            await each.unsubscribe()

    async def _arrived(self, _: Msg) -> None:
        self._listener.work()


def _about(seconds: float) -> float:
    """So that replicas do not all ask in the same moment."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
