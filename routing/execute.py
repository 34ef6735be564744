"""Starting a run of an agent the caller may use, over HTTP."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import (
    AgentNotFound,
    ConversationNotFound,
    InsufficientCredits,
    KeyConflict,
    NotConfigured,
    RunNotFound,
)
from routing.agreement import check_owner
from routing.answers import Accepted, ExecuteAnswer
from routing.bodies import EXECUTE_BYTES, read_model
from routing.by_hand import ByHand
from routing.callers import CallerOf, RoomsOf
from routing.events import SSE, STREAMED
from routing.examples import ACCEPTED, AGENT_ID, ANSWER
from routing.launch import launch
from routing.models import ExecuteBody, order_of
from routing.openapi import OF_BODIES, OF_CALLERS, Answer, json_body, operation
from routing.parameters import IdempotencyKey, Prefer
from routing.preferences import accepts, parse_key, parse_prefer

__all__ = ["ENDED_WELL", "EXAMPLE", "GOES_ON", "OF_RUNS", "SAID", "router"]

EXAMPLE: Final = {
    "agentId": AGENT_ID,
    "messages": [{"role": "user", "content": "Forecast the next week."}],
    "input": {
        "horizon": 7,
        "series": [{"date": f"2026-01-{day:02}", "value": 12.5 + day % 7} for day in range(1, 22)],
    },
}


SAID: Final = ("Idempotency-Replayed", "Preference-Applied")
ENDED_WELL: Final = Answer(
    "The run has succeeded; or its events, as they come.",
    model=ExecuteAnswer,
    example=ANSWER,
    always=("Location",),
    sometimes=SAID,
    other=STREAMED,
)
GOES_ON: Final = Answer(
    "The run goes on; follow it at `eventsUrl`.",
    status=202,
    model=Accepted,
    example=ACCEPTED,
    always=("Location",),
    sometimes=SAID,
)
# What may come of accepting a run, whoever asks.
OF_RUNS: Final = (
    *OF_CALLERS,
    *OF_BODIES,
    InsufficientCredits,
    # The run an idempotency key has made is not kept any more.
    RunNotFound,
    KeyConflict,
    NotConfigured,
)


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    routes.add_api_route(
        "/api/agent/execute",
        execute,
        route_class_override=ByHand,
        **operation(
            "execute",
            ENDED_WELL,
            GOES_ON,
            summary="Start a run",
            method="POST",
            errors=(*OF_RUNS, AgentNotFound, ConversationNotFound),
            body=json_body(
                ExecuteBody,
                aForecast=EXAMPLE,
                streamed={**EXAMPLE, "stream": True, "metadata": {"page": "home"}},
            ),
            waits_for_run=True,
        ),
    )
    return routes


async def execute(
    request: Request,
    rooms: RoomsOf,
    caller: CallerOf,
    _prefer: Prefer = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Holds the credits, makes the run durable and executes it. A client that leaves does not stop it.

    With `stream` or `Accept: text/event-stream` its events are streamed; otherwise the answer comes when the
    run has ended, or says where to follow it. A run that fails while it is waited for is a problem document.
    """
    check_owner(request.headers, rooms.settings.credits_owner)
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ExecuteBody, limit_bytes=EXECUTE_BYTES)
    order = order_of(body, caller, key=key, size_bytes=size_bytes)
    wants_stream = body.stream or _accepts_stream(request)
    return await launch(request, rooms, caller, order, preference=preference, wants_stream=wants_stream)


def _accepts_stream(request: Request) -> bool:
    return accepts(SSE, request.headers.getlist("accept"))
