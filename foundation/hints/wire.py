"""Subjects and messages between replicas, as NATS carries them.

    switchyard.runs.<kind>.<run>    empty: the run waits
    switchyard.events.<run>         its new events as JSON, or `null`: look into the log
    switchyard.cancel               a run's id

Pure. What comes in is not trusted to be what was sent: a replica of another release may have sent it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson

from foundation.errors import Json
from foundation.hints.port import Queued, Rows

__all__ = [
    "CANCEL",
    "EVENTS",
    "RUNS",
    "Message",
    "asked_to_end",
    "cancelling",
    "events_of",
    "rows_in",
    "run_in",
    "storing",
    "token_of",
    "waiting",
]

RUNS: Final = "switchyard.runs"
EVENTS: Final = "switchyard.events"
CANCEL: Final = "switchyard.cancel"

LOOK_THERE: Final = b"null"
PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")


@dataclass(frozen=True, slots=True)
class Message:
    """With an `id`, the server takes it once within its window."""

    subject: str
    payload: bytes = b""
    id: str | None = None

    @property
    def size(self) -> int:
        return len(self.subject) + len(self.payload)


def waiting(run: Queued) -> Message:
    """The same for everybody who says it: that this run has waited since its last claim, for so long."""
    looked = f":{run.look}" if run.look else ""
    return Message(
        f"{RUNS}.{token_of(run.kind)}.{run.run_id}",
        id=f"{run.run_id}:{run.epoch}{looked}",
    )


def cancelling(run_id: UUID) -> Message:
    return Message(CANCEL, str(run_id).encode())


def storing(run_id: UUID, rows: Rows, *, most_bytes: int) -> Message:
    """The rows themselves, or that they are in the log when they are too large to carry."""
    try:
        payload = orjson.dumps([dict(row) for row in rows])
    except (orjson.JSONEncodeError, TypeError):
        # Numbers beyond 64 bits; the database holds them as they are.
        payload = LOOK_THERE
    return Message(events_of(run_id), payload if len(payload) <= most_bytes else LOOK_THERE)


def events_of(run_id: UUID) -> str:
    return f"{EVENTS}.{run_id}"


def token_of(kind: str) -> str:
    """`kind` as a part of a subject or a name; one with other signs in it by its hash."""
    return kind if PLAIN.fullmatch(kind) else hashlib.sha256(kind.encode()).hexdigest()[:32]


def run_in(subject: str) -> UUID | None:
    """The run that a subject ends with."""
    return _run(subject.rpartition(".")[2])


def asked_to_end(payload: bytes) -> UUID | None:
    return _run(payload.decode(errors="replace"))


def rows_in(payload: bytes) -> Rows | None:
    """None: there is something, and the log says what."""
    try:
        found: Json = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, list) or not found:
        return None
    rows = [row for row in found if isinstance(row, dict) and _is_event(row)]
    return rows if len(rows) == len(found) else None


def _is_event(row: dict[str, Json]) -> bool:
    seq = row.get("seq")
    is_number = isinstance(seq, int) and not isinstance(seq, bool) and seq > 0
    return is_number and isinstance(row.get("type"), str) and isinstance(row.get("data"), dict)


def _run(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
