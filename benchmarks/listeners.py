"""Those who listen to many streams at once, in a process of their own, and note when each word came.

In:  a line of JSON, {"port": 8000, "head": "POST …", "requests": ["…", …], "over_s": 1.0}
Out: a line of JSON, {"sent_ns": […], "took_ns": […]}, once all streams have ended

A word is a moment (`benchmarks/paced_model.py`), wherever it is found; streams begin within `over_s` seconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, cast

import uvloop

WORD: Final = re.compile(rb" (\d{20})")
ENDS: Final = (b'"type":"done"', b"data: [DONE]")
FAILED: Final = b'"type":"error"'
WITHIN_S: Final = 120.0


class Listener(asyncio.Protocol):
    def __init__(self, request: bytes, sent_ns: list[int], took_ns: list[int]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._sent_ns = sent_ns
        self._took_ns = took_ns
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport writes; uvloop's is of a class of its own.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if any(end in event for end in ENDS):
                self._end()
                return
            if FAILED in event or event.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
                self._fail(event)
                return
            for word in WORD.findall(event):
                sent_ns = int(word)
                self._sent_ns.append(sent_ns)
                self._took_ns.append(now_ns - sent_ns)

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail(self._rest)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.close()

    def _fail(self, said: bytes) -> None:
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(f"a stream did not end as it should: {said[:1000]!r}"))


async def listen(port: int, requests: Sequence[bytes], *, over_s: float) -> tuple[list[int], list[int]]:
    loop = asyncio.get_running_loop()
    sent_ns: list[int] = []
    took_ns: list[int] = []
    ended: list[asyncio.Future[None]] = []
    for request in requests:
        _, listener = await loop.create_connection(
            partial(Listener, request, sent_ns, took_ns), "127.0.0.1", port
        )
        ended.append(listener.ended)
        await asyncio.sleep(over_s / len(requests))
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*ended)
    return sent_ns, took_ns


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        requests = [each.encode() for each in order["requests"]]
        sent_ns, took_ns = await listen(order["port"], requests, over_s=order["over_s"])
        sys.stdout.write(json.dumps({"sent_ns": sent_ns, "took_ns": took_ns}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
