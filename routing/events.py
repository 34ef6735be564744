"""A run's events over HTTP: as a stream, or page by page with a long poll."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import BadCursor, Gap, HeavyError, RunNotFound
from foundation.identity import Caller
from heavy_agents.events import Event, Page
from heavy_agents.runs import Runs
from routing.address_tokens import AddressTokenRoute
from routing.answers import EventsPage
from routing.callers import ReaderOf, RoomsOf
from routing.cursors import parse_after, parse_run_id
from routing.examples import EVENTS, STREAM
from routing.openapi import OF_CALLERS, OF_PATHS, TOKEN, Answer, operation
from routing.parameters import After, EventsLimit, LastEventId, RunId, WaitS
from routing.preferences import accepts
from routing.replies import Json
from routing.rooms import Rooms
from routing.stream import EventStream
from routing.waiting import closing, unless_left
from routing.wire import event_message

__all__ = ["SSE", "STREAMED", "event_stream", "router", "streamed"]

# Any: a piece of an OpenAPI document.
Piece = dict[str, Any]

PAGE_EVENTS: Final = 200
SSE: Final = "text/event-stream"


# `itemSchema` is of OpenAPI 3.2; what reads only 3.1 passes over it, and finds no schema for a stream there.
def streamed(*messages: str, example: str) -> dict[str, Piece]:
    """The content of an answer by events, each with one of these messages as its `data`."""
    refs = [{"$ref": f"#/components/schemas/{message}"} for message in messages]
    properties: Piece = {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "enum": ["message", "reconnect"]},
        "retry": {"type": "integer"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": refs[0] if len(refs) == 1 else {"anyOf": refs},
        },
    }
    return {SSE: {"itemSchema": {"type": "object", "properties": properties}, "example": example}}


STREAMED: Final = streamed("EventMessage", example=STREAM)


def router() -> APIRouter:
    routes = APIRouter(tags=["events"])
    routes.add_api_route(
        "/api/runs/{run_id}/events",
        read_events,
        route_class_override=AddressTokenRoute,
        dependencies=[TOKEN],
        **operation(
            "readEvents",
            Answer(
                "The events after the given number, as a stream up to the terminal one, or as a page.",
                model=EventsPage,
                example=EVENTS,
                other=STREAMED,
            ),
            Answer("The given number is the terminal event's; there is nothing more.", status=204),
            summary="Read a run's events",
            errors=(*OF_CALLERS, *OF_PATHS, BadCursor, RunNotFound, Gap),
        ),
    )
    return routes


async def read_events(
    request: Request,
    rooms: RoomsOf,
    caller: ReaderOf,
    *,
    run_id: RunId,
    after: After = None,
    last_event_id: LastEventId = None,
    wait: WaitS = 0,
    limit: EventsLimit = PAGE_EVENTS,
) -> Response:
    """Server-sent events, resumable from any number: `data` is an `EventMessage`, `id` its number.

    A stream that ends with `event: reconnect` goes on where it stopped, when it is asked for again. With
    `Accept: application/json` and no event stream beside it: one page of the same messages.
    """
    run = parse_run_id(run_id)
    position = parse_after(after=after, last_event_id=last_event_id)
    wants_page = _wants_page(request)
    page = await _page(rooms, caller, run, after=position, limit=limit if wants_page else 1)
    if page.is_terminal and position == page.latest:
        _count(rooms, position, outcome="complete")
        return Response(status_code=204)
    if wants_page:
        if not page.events and wait:
            rooms.readers.check(caller.user_id)
            work = _longer(rooms, caller, run, after=position, limit=limit, wait_s=wait)
            page = await unless_left(request.receive, work)
        return Json(_document(run, page))
    rooms.readers.check(caller.user_id)
    _count(rooms, position, outcome="resumed")
    return event_stream(rooms, caller, run, after=position)


def event_stream(
    rooms: Rooms,
    caller: Caller,
    run_id: UUID,
    *,
    after: int,
    begun: Sequence[Event] = (),
    headers: dict[str, str] | None = None,
) -> EventStream:
    """The stream of a run that is known to be the caller's.

    Args:
        begun: the events from after+1 on that are known, if the run was made just now.
    """
    after += len(begun)
    return EventStream(
        rooms.runs.follow(caller.user_id, run_id, after=after, is_fresh=bool(begun)),
        begun=begun,
        user_id=caller.user_id,
        run_id=run_id,
        readers=rooms.readers,
        metrics=rooms.metrics,
        headers=headers,
        tempo=rooms.stream_tempo,
    )


async def _page(rooms: Rooms, caller: Caller, run_id: UUID, *, after: int, limit: int) -> Page:
    try:
        return await rooms.runs.events(caller.user_id, run_id, after=after, limit=limit)
    except HeavyError:
        _count(rooms, after, outcome="refused")
        raise


async def _longer(rooms: Rooms, caller: Caller, run_id: UUID, *, after: int, limit: int, wait_s: int) -> Page:
    """The page once it has an event, or as it is when the time is over."""
    with rooms.readers.reading(caller.user_id):
        try:
            async with asyncio.timeout(wait_s):
                await _any_event(rooms.runs, caller, run_id, after=after)
        except TimeoutError:
            pass
    return await rooms.runs.events(caller.user_id, run_id, after=after, limit=limit)


async def _any_event(runs: Runs, caller: Caller, run_id: UUID, *, after: int) -> None:
    async with closing(runs.follow(caller.user_id, run_id, after=after)) as batches:
        async for _ in batches:
            return


def _document(run_id: UUID, page: Page) -> dict[str, object]:
    return {
        "runId": str(run_id),
        "events": [event_message(run_id, event) for event in page.events],
        "latest": page.latest,
        "isTerminal": page.is_terminal and (not page.events or page.events[-1].seq == page.latest),
    }


def _wants_page(request: Request) -> bool:
    accept = request.headers.getlist("accept")
    return accepts("application/json", accept) and not accepts(SSE, accept)


def _count(rooms: Rooms, position: int, *, outcome: str) -> None:
    """Only who was here before comes back."""
    if position > 0:
        rooms.metrics.resumes_total.labels(outcome=outcome).inc()
