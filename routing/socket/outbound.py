"""What a socket says: the events of runs, encoded, and everything besides.

Pure. The events are named in `routing.wire`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from foundation.errors import Gap, HeavyError, Json
from heavy_agents.events import Event
from routing.json_bytes import json_bytes
from routing.wire import socket_message

__all__ = [
    "connected_message",
    "error_message",
    "event_text",
    "gap_message",
    "pong_message",
    "reconnect_message",
    "resumed_message",
]


def connected_message(user_id: UUID) -> dict[str, Json]:
    return {"type": "connected", "message": "signed in", "userId": str(user_id)}


def error_message(
    error: HeavyError, *, request_id: str | None = None, run_id: UUID | None = None
) -> dict[str, Json]:
    """What was refused and why. `runId` is there when a run can no longer be followed here; it goes on."""
    names: dict[str, Json] = {"requestId": request_id, "runId": str(run_id) if run_id else None}
    said = {name: value for name, value in names.items() if value is not None}
    return {**error.facts(), "type": "error", "error": error.detail, "code": error.code, **said}


def event_text(run_id: UUID, event: Event, *, request_id: str | None = None) -> bytes:
    """The message of an event, made once for all sockets; only `started` has what this one asked with."""
    if event.type == "started" and request_id is not None:
        return json_bytes({**socket_message(run_id, event), "requestId": request_id})
    return event.encode_once(("ws", run_id), lambda: json_bytes(socket_message(run_id, event)))


def resumed_message(run_id: UUID, *, after: int, latest: int) -> dict[str, Json]:
    return {"type": "agent_resumed", "runId": str(run_id), "after": after, "latest": latest}


def gap_message(run_id: UUID, gap: Gap) -> dict[str, Json]:
    return {"type": "agent_gap", "runId": str(run_id), "oldest": gap.oldest, "latest": gap.latest}


def pong_message(now: datetime) -> dict[str, Json]:
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": "pong", "timestamp": at}


def reconnect_message(reason: str) -> dict[str, Json]:
    """This server goes away; another one goes on from the `seq` each run has reached."""
    return {"type": "reconnect", "reason": reason}
