"""An agent for tests: it says what its input tells it to, and stops or fails where the test wants it.

{"chunks": ["a", "b"],           emitted one by one, each in an event of its own
 "events": [{"type": "weather", "fields": {"sun": true}, "pause_ms": 5}],   then these, as they are
 "halt": "name",                 in the middle of these it waits until the test opens that gate
 "gate": "name",                 then waits until the test opens the gate
 "files": {"a.txt": "…"},        kept as artifacts
 "fail": "sentence"}             fails with it; "bug": true breaks instead; "burn": true uses up the hold
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import ClassVar

from foundation.errors import FieldError, InvalidBody, Json
from heavy_agents.agents import Context
from heavy_agents.runs import AgentFailed, Answer, CreditExhausted, RunRequest, Usage

__all__ = ["EchoAgent"]


class EchoAgent:
    kind: ClassVar[str] = "echo"

    def __init__(self) -> None:
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.runs = 0

    def check(self, request: RunRequest) -> None:
        if not isinstance(request.input.get("chunks", []), list):
            raise InvalidBody([FieldError("input.chunks", "wants a list of texts")])

    async def run(self, ctx: Context) -> Answer:
        self.runs += 1
        told = ctx.request.input
        text = await self._say(ctx, told)
        await self._tell(ctx, told)
        if gate := told.get("gate"):
            await self.gates[str(gate)].wait()
        await self._keep_files(ctx, told)
        if told.get("burn"):
            raise CreditExhausted
        if told.get("bug"):
            raise RuntimeError("a secret of the agent's own")
        if reason := told.get("fail"):
            raise AgentFailed(str(reason))
        return Answer(response=text, output={"count": len(text)})

    async def _say(self, ctx: Context, told: dict[str, Json]) -> str:
        async def work() -> Json:
            ctx.spend(Usage(tool_calls=1))
            chunks = told.get("chunks", [])
            assert isinstance(chunks, list)
            for number, chunk in enumerate(chunks):
                # A number of its own keeps neighbouring chunks from being merged.
                await ctx.emit("chunk", content=str(chunk), number=number)
            return "".join(map(str, chunks))

        return str(await ctx.step("say", work))

    async def _tell(self, ctx: Context, told: dict[str, Json]) -> None:
        events, halt = told.get("events", []), told.get("halt")
        assert isinstance(events, list)

        async def work() -> Json:
            for number, event in enumerate(events):
                if halt and number == len(events) // 2:
                    await self.gates[str(halt)].wait()
                assert isinstance(event, dict)
                fields, pause_ms = event["fields"], event["pause_ms"]
                assert isinstance(fields, dict)
                assert isinstance(pause_ms, int)
                await ctx.emit(str(event["type"]), **fields)
                await asyncio.sleep(pause_ms / 1000)
            return len(events)

        if events:
            await ctx.step("tell", work)

    async def _keep_files(self, ctx: Context, told: dict[str, Json]) -> None:
        files = told.get("files", {})
        assert isinstance(files, dict)
        for name, text in files.items():
            media_type = "image/svg+xml" if name.endswith(".svg") else "text/plain"
            await ctx.artifact(name, media_type=media_type, content=str(text).encode())
