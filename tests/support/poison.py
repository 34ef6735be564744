"""An agent that is bad for the process it runs in, by its input:

{"how": "dies"}     kills it
{"how": "eats"}     takes memory until somebody kills it
{"how": "loops"}    never lets go of the event loop
{"how": "prints"}   prints 200 MB, and then answers
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import ClassVar

from heavy_agents.agents import Context
from heavy_agents.runs import Answer, RunRequest

__all__ = ["HOWS", "KIND", "PoisonAgent"]

KIND = "poison"
HOWS = ("dies", "eats", "loops", "prints")
PART_BYTES = 10_000_000
# Should nobody kill it, the machine has to survive as well.
MOST_PARTS = 80
PRINTED_BYTES = 200_000_000


class PoisonAgent:
    kind: ClassVar[str] = KIND

    def check(self, request: RunRequest) -> None:
        """Takes any input."""

    async def run(self, ctx: Context) -> Answer:
        match ctx.request.input.get("how"):
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "eats":
                eaten = []
                for _ in range(MOST_PARTS):
                    eaten.append(b"x" * PART_BYTES)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(600)
            case "loops":
                while True:
                    pass
            case _:
                line = "all work and no play makes a dull log\n" * 1_000
                for _ in range(PRINTED_BYTES // len(line)):
                    sys.stdout.write(line)
                    # A slow disk would make it one that loops.
                    await asyncio.sleep(0)
        return Answer(response="printed", output={})
