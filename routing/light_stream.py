"""One client reading a light answer as server-sent events.

As a run's stream, but for what only a run can: it is not resumed, so it sends nobody elsewhere. When the
client leaves, the answer goes on without a reader; when the process leaves, both come to their end.
"""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foundation.telemetry import Metrics
from heavy_agents.edge import LightAnswer
from routing.sse import HELLO, PING, light_blocks
from routing.stream import HEADERS, Tempo
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
        self._wrote_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope  # all that matters of the request was read before
        with self._metrics.readers.labels(transport="sse").track_inprogress():
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            is_whole = await first_of(self._relay(send), self._ping(send), _until_left(receive))
            if is_whole:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _relay(self, send: Send) -> bool:
        await self._write(send, HELLO)
        async for events in self._answer.follow():
            for block in light_blocks(events):
                await self._write(send, block)
        return True

    async def _ping(self, send: Send) -> bool:
        """Break every silence, so that nobody between takes the connection for dead."""
        clock = asyncio.get_running_loop()
        self._wrote_s = clock.time()
        while True:
            quiet_s = clock.time() - self._wrote_s
            if quiet_s < self._ping_s:
                await asyncio.sleep(self._ping_s - quiet_s)
            else:
                await self._write(send, PING)

    async def _write(self, send: Send, block: bytes) -> None:
        await send({"type": "http.response.body", "body": block, "more_body": True})
        self._wrote_s = asyncio.get_running_loop().time()
        # To a client that has left, `send` never lets anybody else run.
        await asyncio.sleep(0)


async def _until_left(receive: Receive) -> bool:
    await left(receive)
    return False
