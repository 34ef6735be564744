"""What a chat agent sends to the model. Pure.

The system prompt, then the knowledge base under a heading, then the conversation, then what the run adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import orjson

from foundation.errors import Json
from heavy_agents.agents.chat_plan import Plan
from heavy_agents.llm import ToolCall, Turn
from heavy_agents.runs import Message
from heavy_agents.tools import Outcome

__all__ = ["Wire", "opening", "said", "told", "tool_name"]

Wire = Mapping[str, Json]

NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME_CHARS = 64
NO_ARGUMENTS = "{}"


def opening(plan: Plan, history: Iterable[Message]) -> list[Wire]:
    """The messages before the model has said anything in this run."""
    system = "\n\n".join(part for part in (plan.system_prompt, _knowledge(plan)) if part)
    first: list[Wire] = [{"role": "system", "content": system}] if system else []
    return first + [{"role": each.role, "content": each.content} for each in history]


def said(turn: Turn) -> Wire:
    """A turn of the model as the next call repeats it."""
    if not turn.tool_calls:
        return {"role": "assistant", "content": turn.text}
    calls: list[Json] = [_repeated(call) for call in turn.tool_calls]
    return {"role": "assistant", "content": turn.text or None, "tool_calls": calls}


def tool_name(name: str) -> str:
    """A name as a tool could have it: 1 to 64 letters, digits, _ and -."""
    return NO_NAME.sub("_", name)[:MAX_NAME_CHARS] or "_"


def told(call_id: str, outcome: Outcome) -> Wire:
    """The outcome of one call of a tool, as the model reads it."""
    return {"role": "tool", "tool_call_id": call_id, "content": outcome.for_model()}


def _repeated(call: ToolCall) -> Json:
    """Providers refuse what no tool can have been called with, even when it is their own model's."""
    function: Json = {"name": tool_name(call.name), "arguments": _arguments(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _arguments(text: str) -> str:
    """As they were, if they are an object; the outcome says what was wrong with them."""
    try:
        return text if isinstance(orjson.loads(text), dict) else NO_ARGUMENTS
    except orjson.JSONDecodeError:
        return NO_ARGUMENTS


def _knowledge(plan: Plan) -> str:
    if not plan.knowledge:
        return ""
    entries = (f"## {each.title}\n{each.content}" if each.title else each.content for each in plan.knowledge)
    return "\n\n".join(["# Knowledge base", *entries])
