"""The loop as people write it by hand with the `openai` client; nothing is kept."""

from __future__ import annotations

import json
import sys

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from benchmarks.measured import follow_orders, start
from benchmarks.script import MODEL, QUESTION, SYSTEM, TOOL, now


async def main(model_url: str) -> None:
    async with AsyncOpenAI(base_url=model_url, api_key="none") as client:
        await follow_orders(lambda: _run(client), libraries=("openai",))


async def _run(client: AsyncOpenAI) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
    ]
    while True:
        text, calls = await _turn(client, messages)
        if not calls:
            return text
        messages.append(
            {
                "role": "assistant",
                "content": text,
                "tool_calls": [
                    {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
                    for id_, name, arguments in calls
                ],
            }
        )
        for id_, _, arguments in calls:
            result = json.dumps(now(**json.loads(arguments)))
            messages.append({"role": "tool", "tool_call_id": id_, "content": result})


async def _turn(
    client: AsyncOpenAI, messages: list[ChatCompletionMessageParam]
) -> tuple[str, list[tuple[str, str, str]]]:
    """The text, and the calls as (id, name, arguments)."""
    # The library's types want a literal; this one is built once for all subjects.
    tools: list[ChatCompletionToolParam] = [TOOL]  # type: ignore[list-item]
    stream = await client.chat.completions.create(
        model=MODEL, messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
    )
    text, calls = "", dict[int, tuple[str, str, str]]()
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for piece in choice.delta.tool_calls or ():
                id_, name, arguments = calls.get(piece.index, ("", "", ""))
                function = piece.function
                calls[piece.index] = (
                    id_ or piece.id or "",
                    name or (function.name if function and function.name else ""),
                    arguments + (function.arguments if function and function.arguments else ""),
                )
    return text, list(calls.values())


if __name__ == "__main__":
    start(main(sys.argv[1]))
