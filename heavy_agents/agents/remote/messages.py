"""How the messages of another backend's stream become events of ours. Pure.

Every field is looked at, because what is relayed is stored and shown here. A type that nobody knows passes as
an agent's own, as it does there; what would end a run or speak of a connection does not pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from foundation.errors import BackendFailed, Json
from heavy_agents.agents.remote.errors import Refused
from heavy_agents.agents.remote.verdict import FAILED
from heavy_agents.events import RELAYED, RESERVED, TERMINAL

__all__ = ["Message", "event_of", "is_terminal", "number_of"]

# Any: as the other's JSON gives it.
Message = Mapping[str, Any]

TEXT: Final = (str,)
NUMBER: Final = (int, float)
COUNT: Final = (int,)
# Of an event, of a try and of bytes alike; the database has no larger ones.
LARGEST: Final = 2**31 - 1
# By the type of a message: what its fields may be.
FIELDS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "chunk": {"content": TEXT, "step": TEXT},
    "tool_call": {"step": TEXT, "name": TEXT, "arguments": (dict, list, str)},
    "tool_result": {"step": TEXT, "name": TEXT, "ok": (bool,), "result": (object,), "error": TEXT},
    "progress": {"fraction": NUMBER, "note": TEXT},
    "artifact": {"name": TEXT, "mediaType": TEXT, "size": COUNT},
    "retry": {"step": TEXT, "attempt": COUNT, "discardAfter": COUNT},
}
NEEDED: Final[Mapping[str, str]] = {"chunk": "content", "artifact": "name", "retry": "discardAfter"}
ENVELOPE: Final = frozenset({"type", "runId", "seq", RELAYED})
TYPE: Final = re.compile(r"[a-z_]{1,32}")
NOT_RELAYED: Final = RESERVED | TERMINAL | {"started"}
ENDS: Final = frozenset({"done", "error"})


def is_terminal(message: Message) -> bool:
    return message.get("type") in ENDS


def number_of(message: Message) -> int | None:
    """Its number there; None if it is no event of the run."""
    seq = message.get("seq")
    return seq if type(seq) is int and 0 < seq <= LARGEST else None


def event_of(message: Message) -> tuple[str, dict[str, Json]] | None:
    """Its type and fields here; None if it is not relayed.

    Raises:
        Refused: a field that must be there is not, so that a part would be lost.
    """
    type_ = message.get("type")
    if not isinstance(type_, str) or type_ in NOT_RELAYED or TYPE.fullmatch(type_) is None:
        return None
    if (fields := FIELDS.get(type_)) is None:
        return type_, {name: value for name, value in message.items() if name not in ENVELOPE}
    data = {
        name: message[name]
        for name, kinds in fields.items()
        if name in message and _is_one(message[name], of=kinds)
    }
    if (needed := NEEDED.get(type_)) is not None and needed not in data:
        raise Refused("malformed_message", BackendFailed(FAILED))
    return type_, data


def _is_one(value: object, *, of: tuple[type, ...]) -> bool:
    """JSON has no subclasses: `true` is no number."""
    if object in of:
        return True
    return type(value) in of and (not isinstance(value, int) or of != COUNT or 0 <= value <= LARGEST)
