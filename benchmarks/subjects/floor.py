"""The least a loop over HTTP costs here: `httpx2` for the bytes, `orjson` for the chunks, nothing else."""

from __future__ import annotations

import sys
from typing import Any

import httpx2
import orjson

from benchmarks.measured import follow_orders, start
from benchmarks.script import MODEL, QUESTION, SYSTEM, TOOL, now

# Any: JSON of the wire.
Document = dict[str, Any]


async def main(model_url: str) -> None:
    async with httpx2.AsyncClient(base_url=model_url, trust_env=False, timeout=60) as client:
        await follow_orders(lambda: _run(client), libraries=("httpx2", "orjson"))


async def _run(client: httpx2.AsyncClient) -> str:
    messages: list[Document] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    while True:
        text, calls = await _turn(client, messages)
        if not calls:
            return text
        messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        for call in calls:
            result = orjson.dumps(now(**orjson.loads(call["function"]["arguments"]))).decode()
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


async def _turn(client: httpx2.AsyncClient, messages: list[Document]) -> tuple[str, list[Document]]:
    body = {
        "model": MODEL,
        "messages": messages,
        "tools": [TOOL],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    text, calls, rest = "", list[Document](), b""
    headers = {"content-type": "application/json"}
    async with client.stream(
        "POST", "chat/completions", content=orjson.dumps(body), headers=headers
    ) as answer:
        async for part in answer.aiter_raw():
            *events, rest = (rest + part).split(b"\n\n")
            for event in events:
                if event != b"data: [DONE]":
                    text += _take(orjson.loads(event[6:]), calls)
    return text, calls


def _take(chunk: Document, calls: list[Document]) -> str:
    """The chunk's text; its pieces of calls go to `calls`."""
    for choice in chunk["choices"]:
        for piece in choice["delta"].get("tool_calls", ()):
            if piece["index"] == len(calls):
                calls.append({name: piece[name] for name in ("id", "type", "function")})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
        return choice["delta"].get("content") or ""
    return ""


if __name__ == "__main__":
    start(main(sys.argv[1]))
