"""The backend as its entry point builds it, with one kind beside its own: it emits events and asks no model.

{"events": 5,        chunks, each an event of its own
 "pause_ms": 10,     the agent goes on for so long after the first one
 "is_journaled": 1}  all of it is one step
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import commands
import railway_server
from foundation.errors import Json
from foundation.settings import Settings
from heavy_agents.agents import Context
from heavy_agents.runs import Answer, RunRequest

__all__ = ["Short"]


class Short:
    kind: ClassVar[str] = "short"

    def check(self, request: RunRequest) -> None:
        """Whatever it is told."""

    async def run(self, ctx: Context) -> Answer:
        told = ctx.request.input

        async def work() -> Json:
            for number in range(int(str(told["events"]))):
                # A number of its own keeps neighbouring chunks from being merged.
                await ctx.emit("chunk", content=f"event {number}", number=number)
                if number == 0 and told["pause_ms"]:
                    await asyncio.sleep(float(str(told["pause_ms"])) / 1000)
            return None

        await (ctx.step("say", work) if told["is_journaled"] else work())
        return Answer(response="said")


def build(settings: Settings) -> railway_server.Backend:
    return railway_server.build(settings, extra_kinds=[Short()])


if __name__ == "__main__":
    commands.main(build)
