"""One client reading a light answer as server-sent events.

As a run's stream, but for what only a run can: it is not resumed, so it sends nobody elsewhere. When the
client leaves, the answer goes on without a reader; when the process leaves, both come to their end.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foundation.telemetry import Metrics
from heavy_agents.edge import LightAnswer
from routing.sse import HELLO, light_blocks
from routing.stream import Tempo
from routing.stream_writer import HEADERS, StreamWriter
from routing.waiting import first_of, left

__all__ = ["LightStream"]


class LightStream(Response):
    def __init__(self, answer: LightAnswer, *, metrics: Metrics, tempo: Tempo | None = None) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._answer = answer
        self._metrics = metrics
        self._ping_s = (tempo or Tempo()).ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = StreamWriter(scope, send, ping_s=self._ping_s)
        with self._metrics.readers.labels(transport="sse").track_inprogress():
            await client.begin(self.raw_headers)
            is_whole = await first_of(self._relay(client), client.ping(), _until_left(receive))
            if is_whole:
                await client.end()

    async def _relay(self, client: StreamWriter) -> bool:
        await client.write([HELLO])
        async for events in self._answer.follow():
            await client.write(light_blocks(events))
        return True


async def _until_left(receive: Receive) -> bool:
    await left(receive)
    return False
