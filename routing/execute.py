"""Starting a run of an agent the caller may use, over HTTP."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from routing.answers import Accepted, ExecuteAnswer
from routing.bodies import EXECUTE_BYTES, read_model
from routing.callers import CallerOf, RoomsOf
from routing.events import SSE
from routing.launch import launch
from routing.models import ExecuteBody, order_of
from routing.openapi import json_body, problems, streamed
from routing.preferences import accepts, parse_key, parse_prefer

__all__ = ["router"]

EXAMPLE: Final = {
    "agentId": "00000000-0000-4000-a000-000000000002",
    "messages": [{"role": "user", "content": "Forecast the next week."}],
    "input": {
        "horizon": 7,
        "series": [{"date": f"2026-01-{day:02}", "value": 12.5 + day % 7} for day in range(1, 22)],
    },
}


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    routes.add_api_route(
        "/api/agent/execute",
        execute,
        methods=["POST"],
        summary="Start a run",
        response_model=ExecuteAnswer,
        responses={
            200: streamed("The run has succeeded; or its events, as they come."),
            202: {"model": Accepted, "description": "The run goes on; follow it at `eventsUrl`."},
            **problems(400, 401, 402, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504),
        },
        openapi_extra=json_body("ExecuteBody", EXAMPLE),
    )
    return routes


async def execute(
    request: Request,
    rooms: RoomsOf,
    caller: CallerOf,
    _prefer: Annotated[
        str | None,
        Header(
            alias="Prefer", description="`respond-async`, `wait=<seconds>` (at most 240; 100 if not said)."
        ),
    ] = None,
    _key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="The same key and body again join the same run."),
    ] = None,
) -> Response:
    """Holds the credits, makes the run durable and executes it. A client that leaves does not stop it."""
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ExecuteBody, limit_bytes=EXECUTE_BYTES)
    order = order_of(body, caller, key=key, size_bytes=size_bytes)
    wants_stream = body.stream or _accepts_stream(request)
    return await launch(request, rooms, caller, order, preference=preference, wants_stream=wants_stream)


def _accepts_stream(request: Request) -> bool:
    return accepts(SSE, request.headers.getlist("accept"))
