"""A server with an agent that makes leaving hard: `python -m tests.support.stubborn serve`. By its input it

{"words": 200, "pause_ms": 15}   says so many words, half of them in each of two steps, and stops when told
{"how": "ignores"}               does not stop when it is cancelled
{"how": "threads"}               computes in a thread, which nobody can stop
{"how": "hangs"}                 stops the whole process when it is cancelled
{"how": "floods"}                says more than a client that does not read can be sent

What makes it hard is done by the first claim only: afterwards the run ends at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import commands
import railway_server
from foundation.errors import Json
from foundation.settings import Settings
from heavy_agents.agents import Context
from heavy_agents.runs import Answer, RunRequest

__all__ = ["KIND", "PROGRAM", "StubbornAgent", "words"]

KIND = "stubborn"
PROGRAM = ("-m", "tests.support.stubborn")
LONG_S = 600


def words(count: int) -> list[str]:
    return [f"word{number} " for number in range(count)]


class StubbornAgent:
    kind: ClassVar[str] = KIND

    def check(self, request: RunRequest) -> None:
        """Takes any input."""

    async def run(self, ctx: Context) -> Answer:
        told = ctx.request.input
        if ctx.attempt == 1:
            await self._be(ctx, str(told.get("how", "")))
        count, pause_ms = told.get("words", 0), told.get("pause_ms", 15)
        assert isinstance(count, int)
        assert isinstance(pause_ms, int)
        for name, part in (("first", words(count)[: count // 2]), ("second", words(count)[count // 2 :])):
            await ctx.step(name, lambda part=part, name=name: _say(ctx, part, name, pause_ms))  # type: ignore[misc]
        return Answer(response="".join(words(count)), output={})

    async def _be(self, ctx: Context, how: str) -> None:
        if how:
            await ctx.emit("progress", fraction=0.5, note=how)
        match how:
            case "ignores":
                await _ignore()
            case "threads":
                await asyncio.to_thread(time.sleep, LONG_S)
            case "hangs":
                try:
                    await asyncio.sleep(LONG_S)
                finally:
                    time.sleep(LONG_S)  # noqa: ASYNC251 - that is what hanging means
            case "floods":
                for number in range(LONG_S):
                    await ctx.emit("chunk", content="x" * 60_000, number=number)
            case _:
                """Nothing makes it hard."""


async def _say(ctx: Context, part: list[str], step: str, pause_ms: int) -> Json:
    for word in part:
        await ctx.emit("chunk", content=word)
        await asyncio.sleep(pause_ms / 1000)
    return step


async def _ignore() -> None:
    ends_at_s = time.monotonic() + LONG_S
    while time.monotonic() < ends_at_s:
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            continue


def _build(settings: Settings) -> railway_server.Backend:
    return railway_server.build(settings, extra_kinds=[StubbornAgent()])


if __name__ == "__main__":
    commands.main(_build)
