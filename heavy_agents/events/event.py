"""One event of a run, numbered and durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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

    Attributes:
        is_shared: all readers of the run get this same object. Else it is of one, who read it from the log.
    """

    seq: int
    type: str
    data: dict[str, Json]
    is_shared: bool = field(default=True, kw_only=True, repr=False, compare=False)
    _encoded: dict[tuple[str, UUID], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL

    def encode_once(self, key: tuple[str, UUID], encode: Callable[[], bytes]) -> bytes:
        """What a transport makes of it, by the transport's name and the run.

        The first reader's work serves the others, and goes when they have read it. A reader of its own would
        only hold the event twice.
        """
        known = self._encoded.get(key)
        if known is None:
            known = encode()
            if self.is_shared:
                self._encoded[key] = known
        return known

    def to_json(self) -> dict[str, Json]:
        return {"seq": self.seq, "type": self.type, "data": self.data}


# Any: rows as the database's JSON gives them; their shape is that of `switchyard_events_page`.
def decode(rows: Iterable[Mapping[str, Any]], *, is_shared: bool = True) -> list[Event]:
    return [Event(row["seq"], row["type"], row["data"], is_shared=is_shared) for row in rows]
