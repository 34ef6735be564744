"""What a run does while its model speaks: it notes the call first, streams the text and counts the tokens."""

from __future__ import annotations

from heavy_agents import runs
from heavy_agents.llm import Tokens
from heavy_agents.runs import Usage

__all__ = ["Listener"]


class Listener:
    """`heavy_agents.llm.Listener` for one step of one run."""

    def __init__(self, run: runs.Context) -> None:
        self._run = run

    async def begin(self, call_id: str) -> None:
        await self._run.begin_call(call_id)

    async def text(self, content: str) -> None:
        await self._run.chunk(content)

    def bought(self, tokens: Tokens) -> None:
        self._run.spend(Usage(model_calls=1, input_tokens=tokens.input, output_tokens=tokens.output))
