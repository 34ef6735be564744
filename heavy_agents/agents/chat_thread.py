"""What a chat agent sends to the model, and what is left out when it becomes too long. Pure.

The system prompt, then the knowledge base under a heading, then the conversation. When all that is estimated
over the agent's `context_tokens`, less what the answer may take:

    1. the oldest messages go, until only the newest of the user and what followed it are left;
    2. then results of tools are cut to their beginning, the oldest first;
    3. if it is still too long, the run says so and ends.

A call of a tool and its result are kept or left out together, as providers want them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from foundation.errors import Json
from heavy_agents.agents.chat_plan import Plan
from heavy_agents.llm import ToolCall, Turn, estimate_tokens
from heavy_agents.runs import AgentFailed, Message
from heavy_agents.tools import Outcome

__all__ = ["Wire", "fit", "newest_of_the_user", "opening", "said", "told"]

Wire = Mapping[str, Json]

CUT_RESULT_CHARS = 600
NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME_CHARS = 64
LEFT_OUT = "[earlier messages of this conversation were left out]"
TOO_LONG = "the conversation is longer than this agent can take in; send less at once"


def opening(plan: Plan, history: Iterable[Message]) -> list[Wire]:
    """The messages before the model has said anything in this run."""
    system = "\n\n".join(part for part in (plan.system_prompt, _knowledge(plan)) if part)
    first: list[Wire] = [{"role": "system", "content": system}] if system else []
    return first + [{"role": each.role, "content": each.content} for each in history]


def said(turn: Turn) -> Wire:
    """A turn of the model as the next call repeats it."""
    message: dict[str, Json] = {"role": "assistant", "content": turn.text or None}
    if turn.tool_calls:
        message["tool_calls"] = [_repeated(call) for call in turn.tool_calls]
    return message


def told(call_id: str, outcome: Outcome) -> Wire:
    """The outcome of one call of a tool, as the model reads it."""
    return {"role": "tool", "tool_call_id": call_id, "content": outcome.for_model()}


def newest_of_the_user(thread: Sequence[Wire]) -> int:
    """Where the user's newest message is; it and what follows is never left out."""
    return max((index for index, each in enumerate(thread) if each["role"] == "user"), default=0)


def fit(thread: Sequence[Wire], *, newest: int, limit_tokens: int, tools: Sequence[Wire] = ()) -> list[Wire]:
    """`thread`, shortened by the rule above to `limit_tokens`, the `tools` sent along included.

    Args:
        newest: where the user's newest message is.

    Raises:
        AgentFailed: what may not be left out is too long by itself.
    """
    costs = [estimate_tokens([message]) for message in thread]
    room = limit_tokens - estimate_tokens([], tools=tools)
    if sum(costs) <= room:
        return list(thread)
    system = 1 if newest and thread[0]["role"] == "system" else 0
    note: Wire = {"role": "system", "content": LEFT_OUT}
    room -= sum(costs[:system]) + estimate_tokens([note])
    start = _first_kept(costs, room, start=system, newest=newest)
    while start < newest and thread[start]["role"] == "tool":
        start += 1
    left_out = [note] if start > system else []
    return [*thread[:system], *left_out, *_cut_results(thread[start:], room)]


def _repeated(call: ToolCall) -> Json:
    """Providers refuse a name that no tool can have, even when it is their own model's."""
    name = NO_NAME.sub("_", call.name)[:MAX_NAME_CHARS] or "_"
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": call.arguments}}


def _knowledge(plan: Plan) -> str:
    if not plan.knowledge:
        return ""
    entries = (f"## {each.title}\n{each.content}" if each.title else each.content for each in plan.knowledge)
    return "\n\n".join(["# Knowledge base", *entries])


def _first_kept(costs: Sequence[int], room: int, *, start: int, newest: int) -> int:
    """Where the longest end of the conversation begins that fits; at latest at the user's newest message."""
    total = sum(costs[start:])
    while start < newest and total > room:
        total -= costs[start]
        start += 1
    return start


def _cut_results(messages: Sequence[Wire], room: int) -> list[Wire]:
    kept, total = list(messages), estimate_tokens(messages)
    for index, message in enumerate(kept):
        if total <= room:
            break
        content = message["content"]
        if message["role"] == "tool" and isinstance(content, str) and len(content) > CUT_RESULT_CHARS:
            total -= estimate_tokens([message])
            kept[index] = {**message, "content": content[:CUT_RESULT_CHARS] + "… [cut to save room]"}
            total += estimate_tokens([kept[index]])
    if total > room:
        raise AgentFailed(TOO_LONG)
    return kept
