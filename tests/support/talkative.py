"""A server with an agent that says much, and then moments: `python -m tests.support.talkative serve`.

By its input it

{"kilobytes": 4096}                 says so much text at once, a kilobyte an event
{"moments": 100, "pause_ms": 20}    then says so many moments, one after the other: ` 00000001234567890123`

A moment is the time of the machine's monotonic clock in nanoseconds, so that whoever reads it on the same
machine knows how long it took.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Final

import commands
import railway_server
from foundation.errors import Json
from foundation.settings import Settings
from heavy_agents.agents import Context
from heavy_agents.runs import Answer, RunRequest

__all__ = ["KIND", "PROGRAM", "TalkativeAgent"]

KIND: Final = "talkative"
PROGRAM: Final = ("-m", "tests.support.talkative")
KILOBYTE: Final = "0123456789abcde " * 64


class TalkativeAgent:
    kind: ClassVar[str] = KIND

    def check(self, request: RunRequest) -> None:
        """Takes any input."""

    async def run(self, ctx: Context) -> Answer:
        told = ctx.request.input
        kilobytes, moments, pause_ms = (told.get(name, 0) for name in ("kilobytes", "moments", "pause_ms"))
        assert isinstance(kilobytes, int)
        assert isinstance(moments, int)
        assert isinstance(pause_ms, int)

        async def work() -> Json:
            for number in range(kilobytes):
                # A number of its own keeps neighbouring chunks from being merged.
                await ctx.emit("chunk", content=KILOBYTE, number=number)
            for number in range(kilobytes, kilobytes + moments):
                await ctx.emit("chunk", content=f" {time.monotonic_ns():020d}", number=number)
                await asyncio.sleep(pause_ms / 1000)
            return None

        await ctx.step("talk", work)
        return Answer(response="said", output={})


def _build(settings: Settings) -> railway_server.Backend:
    return railway_server.build(settings, extra_kinds=[TalkativeAgent()])


if __name__ == "__main__":
    commands.main(_build)
