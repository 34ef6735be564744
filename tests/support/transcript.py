"""What a client has seen of a run: what its screen shows, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Message", "as_streamed", "is_terminal", "seen_wrongly", "transcript"]

# Any: messages of the wire, by the names they have over server-sent events.
Message = dict[str, Any]

ENDS = frozenset({"done", "error"})
# Where a socket calls it otherwise than `agent_` and its name.
OF_SOCKETS = {
    "agent_execution_started": "started",
    "agent_execution_complete": "done",
    "agent_execution_error": "error",
}


def as_streamed(message: Message) -> Message:
    """A socket's message as the stream of events would have it."""
    type_ = message["type"]
    return {**message, "type": OF_SOCKETS.get(type_, type_.removeprefix("agent_"))}


def is_terminal(message: Message) -> bool:
    return message["type"] in ENDS


def transcript(seen: Sequence[Message]) -> str:
    """What a screen shows: the chunks without those that a `retry` took back."""
    shown: list[Message] = []
    for message in seen:
        if message["type"] == "chunk":
            shown.append(message)
        if message["type"] == "retry":
            shown = [
                chunk
                for chunk in shown
                if chunk["step"] != message["step"] or chunk["seq"] <= message["discardAfter"]
            ]
    return "".join(chunk["content"] for chunk in shown)


def seen_wrongly(seen: Sequence[Message], logged: Sequence[Message]) -> list[str]:
    """What is wrong with what a client saw of a run that has ended, a sentence each.

    Args:
        logged: all of the run, as it is told to whoever comes afterwards.
    """
    numbers, endings = [each["seq"] for each in seen], [each["type"] for each in seen if is_terminal(each)]
    wrong: list[str] = []
    if numbers != list(range(1, len(seen) + 1)):
        wrong.append(f"a client saw events numbered {_breaks(numbers)}")
    if len(endings) != 1 or not is_terminal(seen[-1]):
        wrong.append(f"a client saw the endings {endings}")
    if [_read(each) for each in seen] != [_read(each) for each in logged]:
        wrong.append("a client saw something else than the log says")
    return wrong


def _breaks(numbers: Sequence[int]) -> str:
    """Where they do not follow each other."""
    pairs = zip([0, *numbers], numbers, strict=False)
    return ", ".join(f"{number} after {before}" for before, number in pairs if number != before + 1)


# Any: as the wire has it.
def _read(message: Message) -> tuple[Any, ...]:
    """What a person reads of it."""
    return tuple(message.get(name) for name in ("seq", "type", "step", "content", "result", "discardAfter"))
