"""The loop of openai-agents, streamed; its tracing is off, because it would send the runs elsewhere."""

from __future__ import annotations

import sys

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from benchmarks.measured import follow_orders, start
from benchmarks.script import MODEL, QUESTION, SYSTEM, now


async def main(model_url: str) -> None:
    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=model_url, api_key="none") as client:
        agent = Agent(
            name="clock",
            instructions=SYSTEM,
            model=OpenAIChatCompletionsModel(model=MODEL, openai_client=client),
            model_settings=ModelSettings(include_usage=True),
            tools=[function_tool(now)],
        )
        await follow_orders(lambda: _run(agent), libraries=("openai-agents", "openai"))


async def _run(agent: Agent) -> str:
    result = Runner.run_streamed(agent, QUESTION)
    async for _ in result.stream_events():
        pass
    return str(result.final_output)


if __name__ == "__main__":
    start(main(sys.argv[1]))
