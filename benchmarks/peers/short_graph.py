"""The agent of `subjects/short_runs.py` as a graph of LangGraph's; its one node is a step that is kept."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

__all__ = ["graph"]


class State(TypedDict, total=False):
    events: int
    pause_ms: float
    response: str


# Any: a state of the graph, as its library takes it.
async def say(state: State) -> dict[str, Any]:
    write = get_stream_writer()
    for number in range(state["events"]):
        write({"type": "chunk", "content": f"event {number}", "number": number})
        if number == 0 and state.get("pause_ms"):
            await asyncio.sleep(state["pause_ms"] / 1000)
    write({"type": "done", "response": "said"})
    return {"response": "said"}


graph = StateGraph(State).add_node("say", say).add_edge(START, "say").add_edge("say", END).compile()
