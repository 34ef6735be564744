"""One client reading one run as server-sent events, from the first block to the last.

A stream ends in one of five ways:

    the run's terminal event was sent       complete
    the client has gone                     nothing more is sent; the run goes on
    it has lasted 14 minutes                `event: reconnect`: the platform would cut it at 15
    this process shuts down                 `event: reconnect`: another one goes on from the same number
    the client does not read                the connection is given up, as any other: see `routing.taking`

No exception leaves a stream that has begun: a database that is away for a moment is a reason to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foundation.errors import HeavyError
from foundation.telemetry import Metrics
from heavy_agents.events import Event
from routing.batched import taken
from routing.readers import Readers
from routing.sse import HELLO, blocks, goodbye
from routing.stream_writer import HEADERS, StreamWriter
from routing.waiting import closing, first_of, left

__all__ = ["EventStream", "Tempo"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tempo:
    """Seconds between pings, and of a whole stream."""

    ping_s: float = 15.0
    life_s: float = 14 * 60.0


class End(Enum):
    COMPLETE = auto()
    GONE = auto()
    RECONNECT = auto()


class EventStream(Response):
    """The answer that follows a run. `batches` comes from `Runs.follow` and is closed with the stream."""

    def __init__(
        self,
        batches: AsyncIterator[list[Event]],
        *,
        user_id: UUID,
        run_id: UUID,
        readers: Readers,
        metrics: Metrics,
        headers: Mapping[str, str] | None = None,
        tempo: Tempo | None = None,
        begun: Sequence[Event] = (),
    ) -> None:
        """
        Args:
            begun: events before the first batch.
        """
        self.status_code = 200
        self.background = None
        self.init_headers({**HEADERS, **(headers or {})})
        self._batches = batches
        self._hello = b"".join((HELLO, *blocks(run_id, begun)))
        self._user_id = user_id
        self._run_id = run_id
        self._readers = readers
        self._metrics = metrics
        self._tempo = tempo or Tempo()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with (
            self._readers.reading(self._user_id),
            self._metrics.readers.labels(transport="sse").track_inprogress(),
        ):
            await self._stream(receive, StreamWriter(scope, send, ping_s=self._tempo.ping_s))

    async def _stream(self, receive: Receive, client: StreamWriter) -> None:
        await client.begin(self.raw_headers)
        end = await first_of(
            self._relay(client), client.ping(), self._until_left(receive), self._until_time_to_go()
        )
        if end is End.RECONNECT:
            await client.write([goodbye(self._run_id)])
        if end is not End.GONE:
            await client.end()

    async def _relay(self, client: StreamWriter) -> End:
        try:
            async with closing(self._batches) as batches:
                await client.write([self._hello])
                async for batch in batches:
                    if batch[-1].is_terminal:
                        # Once that is sent, nothing may be told after it.
                        *before, last = blocks(self._run_id, batch)
                        await client.write(before)
                        await client.hand_on(last)
                        return End.COMPLETE
                    await client.write(blocks(self._run_id, taken(batch)))
        except HeavyError as error:
            log.warning("stream_interrupted", run_id=str(self._run_id), code=error.code)
            self._metrics.interrupted_total.labels(transport="sse").inc()
            return End.RECONNECT
        return End.COMPLETE

    async def _until_left(self, receive: Receive) -> End:
        await left(receive)
        return End.GONE

    async def _until_time_to_go(self) -> End:
        try:
            async with asyncio.timeout(self._tempo.life_s):
                await self._readers.leaving()
        except TimeoutError:
            pass
        return End.RECONNECT
