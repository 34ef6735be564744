"""What one notification says, and what gathers until the next one can be sent.

Pure. PostgreSQL takes payloads below 8,000 bytes, so that a note that would name too many runs is about all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import orjson

__all__ = ["MOST_BYTES", "Note", "Pending", "decode"]

MOST_BYTES = 7_900
# 35 bytes each in the payload.
MOST_CANCELS, MOST_STORED = 80, 130
# What is not told in time is heard of by heartbeats; more would only be memory.
MOST_KEPT_CANCELS = 10_000


@dataclass(frozen=True, slots=True)
class Note:
    """
    Attributes:
        name: of the process that tells.
        work: there may be something to claim.
        is_about_all: events were stored of more runs than a note can name.
    """

    name: str
    work: bool
    cancels: tuple[UUID, ...]
    stored: tuple[UUID, ...]
    is_about_all: bool


@dataclass(slots=True)
class Pending:
    """What is to be told next. `ping`: that this process is there, if there is nothing else."""

    ping: bool = False
    work: bool = False
    cancels: set[UUID] = field(default_factory=set)
    stored: set[UUID] = field(default_factory=set)

    def cancel(self, run_id: UUID) -> None:
        if len(self.cancels) < MOST_KEPT_CANCELS:
            self.cancels.add(run_id)

    def add(self, run_ids: Iterable[UUID]) -> None:
        # One more than a note names is enough to know that it is about all.
        if len(self.stored) <= MOST_STORED:
            self.stored.update(run_ids)

    def take(self, name: str) -> str | None:
        """The payload of the next note, which leaves what has no room in it; None when there is nothing."""
        if not (self.ping or self.work or self.cancels or self.stored):
            return None
        cancels = [self.cancels.pop() for _ in range(min(MOST_CANCELS, len(self.cancels)))]
        note: dict[str, object] = {"name": name}
        if self.work:
            note["work"] = True
        if cancels:
            note["cancels"] = [each.hex for each in cancels]
        if len(self.stored) > MOST_STORED:
            note["all"] = True
        elif self.stored:
            note["stored"] = [each.hex for each in self.stored]
        self.ping, self.work = False, False
        self.stored.clear()
        return orjson.dumps(note).decode()


def decode(payload: str) -> Note | None:
    """None for what none of us has sent: anybody who may connect may notify."""
    try:
        told = orjson.loads(payload)
        return Note(
            name=str(told["name"]),
            work=bool(told.get("work")),
            cancels=tuple(UUID(hex=each) for each in told.get("cancels", ())),
            stored=tuple(UUID(hex=each) for each in told.get("stored", ())),
            is_about_all=bool(told.get("all")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
