"""How messages become server-sent events.

Pure. An event's number is its `id`, so that a browser that comes back says where it was. What is no event of
the run (a ping, the hint to come back) has no id: it must not move that place.

Source: WHATWG HTML, section 9.2 "Server-sent events".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

import orjson

from heavy_agents.events import Event
from routing.batched import batched
from routing.wire import event_message, light_message, run_url

__all__ = ["HELLO", "PING", "blocks", "frame", "goodbye", "light_blocks"]

# Milliseconds a browser waits before it comes back.
HELLO: Final = b"retry: 1000\n\n"
PING: Final = b": ping\n\n"


def blocks(run_id: UUID, events: Iterable[Event]) -> Iterator[bytes]:
    """The frames of `events`, a few in each: see `batched`."""
    return map(b"".join, batched(frame(run_id, event) for event in events))


def frame(run_id: UUID, event: Event) -> bytes:
    """Made once, however many read it."""
    return event.encode_once(("sse", run_id), lambda: _frame(run_id, event))


def light_blocks(events: Iterable[Event]) -> Iterator[bytes]:
    """The frames of an answer that is no run: one client reads it, once."""
    frames = (b"id: %d\ndata: %b\n\n" % (event.seq, orjson.dumps(light_message(event))) for event in events)
    return map(b"".join, batched(frames))


def goodbye(run_id: UUID) -> bytes:
    """The stream ends before the run does; the client goes on at `eventsUrl` from its last id."""
    message = {"type": "reconnect", "runId": str(run_id), "eventsUrl": f"{run_url(run_id)}/events"}
    return b"event: reconnect\ndata: %b\n\n" % orjson.dumps(message)


def _frame(run_id: UUID, event: Event) -> bytes:
    # JSON escapes line breaks, so the message is always one line.
    return b"id: %d\ndata: %b\n\n" % (event.seq, orjson.dumps(event_message(run_id, event)))
