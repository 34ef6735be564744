"""Checks of a run's events: all of them, in order, over SSE and over a WebSocket, from any number on."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.verify.deployment import Deployment, Failed, Run
from scripts.verify.stream import SSE, Event, Reading
from scripts.verify.web import Document
from scripts.verify.websocket import WebSocket

__all__ = ["socket_resumed", "socket_streamed", "stream_resumed", "streamed"]

# What was seen for a shorter time tells nothing about when events came.
LONG_ENOUGH_MS = 500
SOCKET_NAMES = {"started": "agent_execution_started", "done": "agent_execution_complete"}
SOCKET_ENDS = ("agent_execution_complete", "agent_execution_error")


def streamed(run: Run) -> str:
    """While it ran: numbered without a gap, each as it happened, up to the end."""
    _judge_reading(run.live)
    events = run.live.events
    spread_ms = 1000 * (events[-1].at_s - events[0].at_s)
    took_ms = run.document.get("executionTime") or 0
    watched_ms = took_ms - 1000 * run.late_s
    told = f"{len(events)} events, ids 1 to {len(events)}, over {spread_ms:.0f} ms"
    if watched_ms < LONG_ENOUGH_MS:
        return f"{told}; too short to tell whether something between collects them"
    if spread_ms < watched_ms / 5:
        raise Failed(
            f"{len(events)} events of {took_ms} ms came within {spread_ms:.0f} ms: something between collects"
            " the stream before it passes it on"
        )
    return told


def stream_resumed(deployment: Deployment, run: Run) -> str:
    """From the middle on, and from the end, where there is nothing more."""
    path, events = f"/api/runs/{run.id}/events", told(deployment, run)
    middle = len(events) // 2
    tail = deployment.follow(path, after=middle)
    if tail.status != 200 or tail.trouble:
        raise Failed(f"Last-Event-ID {middle}: {tail.trouble or tail.status}")
    numbers = [event.number for event in tail.events]
    if numbers != list(range(middle + 1, len(events) + 1)):
        raise Failed(f"Last-Event-ID {middle}: answered with ids {_shown(numbers)}")
    if [event.message for event in tail.events] != [event.message for event in events[middle:]]:
        raise Failed(f"Last-Event-ID {middle}: other events than the first time")
    after_end = deployment.follow(path, after=len(events)).status
    if after_end != 204:
        raise Failed(
            f"from the last event on it answers {after_end} and not 204, so that a browser never stops"
        )
    return f"after {middle}: ids {middle + 1} to {len(events)}; after {len(events)}: 204"


def socket_streamed(deployment: Deployment, run: Run) -> str:
    """Asked for under the same key, so that it is the same run and costs nothing more."""
    with deployment.signed_in() as socket:
        _welcomed(deployment, socket)
        socket.say({"type": "agent_execute", "idempotencyKey": run.key, **run.body})
        heard = _heard_to_end(deployment, socket)
    _judge_heard(heard, told(deployment, run))
    return f"connected, {len(heard)} events of the same run"


def socket_resumed(deployment: Deployment, run: Run) -> str:
    events = told(deployment, run)
    middle = len(events) // 2
    with deployment.signed_in() as socket:
        _welcomed(deployment, socket)
        socket.say({"type": "agent_resume", "runId": run.id, "after": middle})
        resumed = socket.hear(deadline_s=deployment.deadline_s)
        if resumed.get("type") != "agent_resumed" or resumed.get("latest") != len(events):
            raise Failed(f"agent_resume after {middle}: {resumed.get('type')} {resumed.get('code', '')}")
        heard = _heard_to_end(deployment, socket)
    _judge_heard(heard, events[middle:])
    return f"after {middle}: {len(heard)} events, {middle + 1} to {len(events)}"


def told(deployment: Deployment, run: Run) -> Sequence[Event]:
    """All events: as they were streamed while it ran, or read again if that went wrong.

    Raises:
        Failed: they cannot be read now either.
    """
    try:
        _judge_reading(run.live)
    except Failed:
        again = deployment.follow(f"/api/runs/{run.id}/events", after=0)
        _judge_reading(again)
        return again.events
    return run.live.events


def _judge_reading(reading: Reading) -> None:
    if reading.status != 200 or not reading.media_type.startswith(SSE):
        raise Failed(f"the stream was answered with {reading.trouble or reading.status}")
    numbers = [event.number for event in reading.events]
    if not numbers:
        raise Failed(f"no event came: {reading.trouble or 'the stream ended at once'}")
    if numbers != list(range(1, len(numbers) + 1)):
        raise Failed(f"the ids are {_shown(numbers)}")
    if [event.message.get("seq") for event in reading.events] != numbers:
        raise Failed("ids and seq differ")
    if not reading.events[-1].is_end:
        raise Failed(f"it ended after event {numbers[-1]}, before the run did{_because(reading)}")


def _judge_heard(heard: Sequence[Document], events: Sequence[Event]) -> None:
    """The same events under the names of the socket."""
    wanted = [_on_socket(event.message) for event in events]
    got = [{name: value for name, value in message.items() if name != "requestId"} for message in heard]
    if [each.get("seq") for each in got] != [each.get("seq") for each in wanted]:
        raise Failed(f"numbers {_shown([each.get('seq') for each in got])}")
    differing = [each["seq"] for each, other in zip(wanted, got) if each != other]
    if differing:
        raise Failed(f"event {differing[0]} is another one than in the stream")


def _on_socket(message: Document) -> Document:
    kind = str(message.get("type"))
    name = "agent_execution_error" if kind == "error" else SOCKET_NAMES.get(kind, f"agent_{kind}")
    return {**message, "type": name}


def _welcomed(deployment: Deployment, socket: WebSocket) -> None:
    message = socket.hear(deadline_s=deployment.deadline_s)
    if message.get("type") != "connected":
        raise Failed(f"greeted with {message.get('type')} and not with connected")


def _heard_to_end(deployment: Deployment, socket: WebSocket) -> list[Document]:
    heard = [socket.hear(deadline_s=deployment.deadline_s)]
    while heard[-1].get("type") not in SOCKET_ENDS:
        if heard[-1].get("type") == "error":
            raise Failed(f"error {heard[-1].get('code')}")
        heard.append(socket.hear(deadline_s=deployment.deadline_s))
    return heard


def _because(reading: Reading) -> str:
    return f": {reading.trouble}" if reading.trouble else ""


def _shown(numbers: Sequence[object]) -> str:
    shown = ", ".join("none" if each is None else str(each) for each in numbers[:8])
    return f"{shown}, …" if len(numbers) > 8 else shown
