"""What is left out of a conversation that has become too long for one call. Pure.

When all that would be sent is estimated over the agent's `context_tokens`, less what the answer may take:

    1. the oldest messages go, until only the newest of the user and what followed it are left;
    2. then results of tools are cut to their beginning, the oldest first;
    3. then the oldest turns of this run go, each with its results, but for the last one;
    4. if it is still too long, the run says so and ends.

A call of a tool and its result are kept or left out together, as providers want them.
"""

from __future__ import annotations

from collections.abc import Sequence

from heavy_agents.agents.chat_thread import Wire
from heavy_agents.llm import estimate_tokens
from heavy_agents.runs import AgentFailed

__all__ = ["LEFT_OUT", "fit", "newest_of_the_user"]

CUT_RESULT_CHARS = 600
LEFT_OUT = "[earlier messages of this conversation were left out]"
TOO_LONG = "the conversation is longer than this agent can take in; send less at once"


def newest_of_the_user(thread: Sequence[Wire]) -> int:
    """Where the user's newest message is, which is never left out."""
    return max((index for index, each in enumerate(thread) if each["role"] == "user"), default=0)


def fit(thread: Sequence[Wire], *, newest: int, limit_tokens: int, tools: Sequence[Wire] = ()) -> list[Wire]:
    """`thread`, shortened by the rule above to `limit_tokens`, the `tools` sent along included.

    Args:
        newest: where the user's newest message is.

    Raises:
        AgentFailed: what may not be left out is too long by itself.
    """
    room = limit_tokens - estimate_tokens([], tools=tools)
    if estimate_tokens(thread) <= room:
        return list(thread)
    system = 1 if newest and thread[0]["role"] == "system" else 0
    note: Wire = {"role": "system", "content": LEFT_OUT}
    kept = [*thread[:system], note, thread[newest]]
    room -= estimate_tokens(kept)
    history = _newest_that_fit(thread[system:newest], room - estimate_tokens(thread[newest + 1 :]))
    run = _shortened(thread[newest + 1 :], room)
    is_whole = len(history) == newest - system and len(run) == len(thread) - newest - 1
    return [*thread[:system], *([] if is_whole else [note]), *history, thread[newest], *run]


def _newest_that_fit(history: Sequence[Wire], room: int) -> Sequence[Wire]:
    start, total = 0, estimate_tokens(history)
    while start < len(history) and total > room:
        total -= estimate_tokens([history[start]])
        start += 1
    return history[start:]


def _shortened(run: Sequence[Wire], room: int) -> list[Wire]:
    """What the run has added since the user's newest message."""
    kept = _with_results_cut(run, room)
    while estimate_tokens(kept) > room:
        if not (later := _after_first_turn(kept)):
            raise AgentFailed(TOO_LONG)
        kept = later
    return kept


def _with_results_cut(run: Sequence[Wire], room: int) -> list[Wire]:
    kept, total = list(run), estimate_tokens(run)
    for index, message in enumerate(kept):
        if total <= room:
            break
        content = message["content"]
        if message["role"] == "tool" and isinstance(content, str) and len(content) > CUT_RESULT_CHARS:
            kept[index] = {**message, "content": content[:CUT_RESULT_CHARS] + "… [cut to save room]"}
            total += estimate_tokens([kept[index]]) - estimate_tokens([message])
    return kept


def _after_first_turn(run: Sequence[Wire]) -> list[Wire]:
    """Without the model's first turn and what answered it; empty when there is no later one."""
    turns = [index for index, each in enumerate(run) if each["role"] == "assistant"]
    return list(run[turns[1] :]) if len(turns) > 1 else []
