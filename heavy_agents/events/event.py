"""One event of a run, numbered and durable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from foundation.errors import Json

__all__ = ["RELAYED", "RESERVED", "TERMINAL", "Draft", "Event", "decode"]

TERMINAL = frozenset({"done", "failed", "cancelled"})

# Under these names a reader would take an event of a kind's own for the end of its run, for another event, or
# for a word about its connection: a stream calls it so, or a socket with `agent_` before it.
RESERVED = frozenset(
    {"error", "reconnect", "resumed", "gap", "execution_started", "execution_complete", "execution_error"}
)


# What an event that was relayed from another backend is numbered there; for us alone, no reader is told.
RELAYED = "@relayed"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a number. `size_bytes` is its JSON."""

    type: str
    data: dict[str, Json]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` counts from 1 without gap; exactly one terminal event, and it is the last.

    `encoded` is what each transport has made of it, by the transport's name and the run: all readers of a run
    get the same objects, so the first one's work serves the others. It goes when they have read it.
    """

    seq: int
    type: str
    data: dict[str, Json]
    encoded: dict[tuple[str, UUID], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL

    def to_json(self) -> dict[str, Json]:
        return {"seq": self.seq, "type": self.type, "data": self.data}


# Any: rows as the database's JSON gives them; their shape is that of `switchyard_events_page`.
def decode(rows: Iterable[Mapping[str, Any]]) -> list[Event]:
    return [Event(row["seq"], row["type"], row["data"]) for row in rows]
