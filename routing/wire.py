"""What the log and the database say, in the words of the wire: camelCase names, RFC 3339 times.

Pure. The log's events are neutral; here they get the names that SSE and WebSocket clients know, with the same
fields for both. What belongs to the caller or the agent (`input`, `metadata`, `output`) passes untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from foundation.errors import Json
from heavy_agents.events import RELAYED, Event

__all__ = [
    "accepted_document",
    "agent_document",
    "agent_metrics_document",
    "answer_document",
    "credits_document",
    "event_message",
    "key_document",
    "light_document",
    "light_message",
    "receipt_document",
    "run_document",
    "run_url",
    "socket_message",
]

# Any: rows as the database's JSON gives them; their shapes stand at the SQL functions.
Row = Mapping[str, Any]

SOCKET_URL: Final = "/ws"

_ERROR: Final = ("error", "agent_execution_error", ("error", "code", "response", "creditsUsed"))
_DONE_FIELDS: Final = ("response", "executionTime", "creditsUsed", "usage", "output")

# By the type in the log: the type in a stream, on a socket, and the fields besides `runId` and `seq`.
MESSAGES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "started": ("started", "agent_execution_started", ("agentId",)),
    "chunk": ("chunk", "agent_chunk", ("content", "step")),
    "tool_call": ("tool_call", "agent_tool_call", ("step", "name", "arguments")),
    "tool_result": ("tool_result", "agent_tool_result", ("step", "name", "ok", "result", "error")),
    "progress": ("progress", "agent_progress", ("fraction", "note")),
    "artifact": ("artifact", "agent_artifact", ("name", "mediaType", "size", "url")),
    "retry": ("retry", "agent_retry", ("step", "attempt", "discardAfter")),
    "done": ("done", "agent_execution_complete", _DONE_FIELDS),
    "failed": _ERROR,
    "cancelled": _ERROR,
}


def event_message(run_id: UUID, event: Event) -> dict[str, Json]:
    """The message of a stream; an event of a kind's own passes under its own name, with all it says."""
    name, _, fields = MESSAGES.get(event.type, (event.type, "", tuple(event.data)))
    return _message(name, run_id, event, fields)


def light_message(event: Event) -> dict[str, Json]:
    """The message of an answer that is no run, and has no run's id."""
    name, _, fields = MESSAGES[event.type]
    return _message(name, None, event, fields)


def socket_message(run_id: UUID, event: Event) -> dict[str, Json]:
    """The same on a socket; an event of a kind's own is named `agent_` and its own name."""
    _, name, fields = MESSAGES.get(event.type, ("", f"agent_{event.type}", tuple(event.data)))
    return _message(name, run_id, event, fields)


def _message(name: str, run_id: UUID | None, event: Event, fields: tuple[str, ...]) -> dict[str, Json]:
    whose = {} if run_id is None else {"runId": str(run_id)}
    envelope: dict[str, Json] = {"type": name, **whose, "seq": event.seq}
    kept_back = {*envelope, RELAYED}
    said = {field: event.data[field] for field in fields if field in event.data and field not in kept_back}
    return envelope | said


def run_document(run: Row) -> dict[str, Json]:
    """A run, as far as `run` has it: a page of runs leaves out what they answered."""
    document = {
        **{_camel(name): value for name, value in run.items() if not name.endswith("_ms")},
        **{_time_name(name): _time(value) for name, value in run.items() if name.endswith("_ms")},
        "executionTime": _execution_ms(run),
        "eventsUrl": f"{run_url(run['run_id'])}/events",
    }
    if "artifacts" in run:
        document["artifacts"] = [_artifact(run["run_id"], each) for each in run["artifacts"]]
    return document


def answer_document(run: Row) -> dict[str, Json]:
    """What a run that succeeded came to, for the caller that waited for it."""
    return {
        "response": run["response"],
        "executionTime": _execution_ms(run),
        "creditsUsed": run["credits_used"],
        "runId": run["run_id"],
        "agentId": run["agent_id"],
        "status": run["status"],
        "output": run["output"],
        "usage": run["usage"],
        "artifacts": [_artifact(run["run_id"], each) for each in run["artifacts"]],
    }


def light_document(agent_id: UUID, done: Event) -> dict[str, Json]:
    """What a light agent answered. It has no `runId`: there is nothing to come back to."""
    return {**done.data, "agentId": str(agent_id), "status": "succeeded"}


def accepted_document(run: Row) -> dict[str, Json]:
    """Where a run goes on: its events at `eventsUrl`, or on a socket at `wsUrl` with `agent_resume`."""
    return {
        "runId": run["run_id"],
        "status": run["status"],
        "eventsUrl": f"{run_url(run['run_id'])}/events",
        "wsUrl": SOCKET_URL,
    }


def receipt_document(receipt: Row) -> dict[str, Json]:
    return {
        **{_camel(name): value for name, value in receipt.items()},
        "price": _camel_keys(receipt["price"] or {}),
        "entries": [_timed(entry) for entry in receipt["entries"]],
        "steps": [_timed(step) for step in receipt["steps"]],
    }


def credits_document(account: Row) -> dict[str, Json]:
    return _camel_keys(account)


def conversation_document(row: Row) -> dict[str, Json]:
    """A conversation, with its `messages` where the row has them."""
    head = dict(row)
    messages = head.pop("messages", None)
    document = {"conversationId": head.pop("id"), **_timed(head)}
    if messages is not None:
        document["messages"] = [{"runId": None, **_timed(message)} for message in messages]
    return document


def agent_document(agent: Row) -> dict[str, Json]:
    return {**_camel_keys(agent), "price": _camel_keys(agent["price"] or {})}


def agent_metrics_document(metrics: Row) -> dict[str, Json]:
    used: list[Json] = [_timed(use) for use in metrics["recent_usage"]]
    return {**_camel_keys(metrics), "recentUsage": used}


def key_document(key: Row) -> dict[str, Json]:
    return _timed(key)


def run_url(run_id: UUID | str) -> str:
    return f"/api/runs/{run_id}"


def _artifact(run_id: str, artifact: Row) -> dict[str, Json]:
    return {
        "name": artifact["name"],
        "mediaType": artifact["media_type"],
        "size": artifact["size_bytes"],
        "url": f"{run_url(run_id)}/artifacts/{quote(artifact['name'], safe='')}",
    }


def _timed(row: Row) -> dict[str, Json]:
    """A row whose moments are `…_ms` since 1970, and whose durations say so."""
    return {
        (_time_name(name) if _is_moment(name) else _camel(name)): (
            _time(value) if _is_moment(name) else value
        )
        for name, value in row.items()
    }


def _is_moment(name: str) -> bool:
    return name in {"at_ms", "created_ms", "finished_ms", "last_used_ms", "updated_ms"}


def _execution_ms(run: Row) -> int | None:
    """Milliseconds from the first claim to the end, by the database's clock; None before the end."""
    if run["ended_ms"] is None:
        return None
    return int(run["ended_ms"] - run["started_ms"]) if run["started_ms"] is not None else 0


def _time(since_1970_ms: int | None) -> str | None:
    if since_1970_ms is None:
        return None
    at = datetime.fromtimestamp(since_1970_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time_name(name: str) -> str:
    """`created_ms` is `createdAt` on the wire, and `at_ms` just `at`."""
    stem = name.removesuffix("_ms")
    return stem if stem == "at" else f"{_camel(stem)}At"


def _camel_keys(row: Row) -> dict[str, Json]:
    return {_camel(name): value for name, value in row.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
