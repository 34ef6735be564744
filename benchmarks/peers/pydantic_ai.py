"""The loop of pydantic-ai, streamed."""

from __future__ import annotations

import sys

from openai import AsyncOpenAI
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benchmarks.measured import follow_orders, start
from benchmarks.script import MODEL, QUESTION, SYSTEM, now


async def main(model_url: str) -> None:
    async with AsyncOpenAI(base_url=model_url, api_key="none") as client:
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
        agent = Agent(model, system_prompt=SYSTEM, tools=[now])
        await follow_orders(lambda: _run(agent), libraries=("pydantic-ai-slim", "openai"))


async def _run(agent: Agent) -> str:
    answer = ""
    async with agent.run_stream_events(QUESTION) as events:
        async for event in events:
            if isinstance(event, AgentRunResultEvent):
                answer = event.result.output
    return answer


if __name__ == "__main__":
    start(main(sys.argv[1]))
