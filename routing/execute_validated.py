"""Starting a run for an edge function that has checked the user and the agent itself, over HTTP."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import WrongCaller
from routing.bodies import EXECUTE_BYTES, read_model
from routing.callers import RoomsOf, ServiceOf, spoken_for
from routing.execute import ENDED_WELL, GOES_ON, OF_RUNS
from routing.launch import launch
from routing.models import ValidatedBody, order_of_validated
from routing.openapi import json_body, operation
from routing.parameters import IdempotencyKey, Prefer
from routing.preferences import parse_key, parse_prefer

__all__ = ["router"]

EXAMPLE: Final = {
    "userId": "00000000-0000-4000-a000-0000000000d0",
    "agentId": "00000000-0000-4000-a000-000000000001",
    "agentConfig": {
        "name": "Research assistant",
        "system_prompt": "You answer in one sentence.",
        "ai_model": "google/gemini-2.5-flash",
        "temperature": 0.7,
        "max_tokens": 1000,
        "knowledge_base": [{"title": "Opening hours", "content": "Monday to Friday, nine to five."}],
    },
    "messages": [{"role": "user", "content": "When are you open?"}],
    "stream": True,
}


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    routes.add_api_route(
        "/api/agent/execute-validated",
        execute_validated,
        **operation(
            "executeValidated",
            ENDED_WELL,
            GOES_ON,
            summary="Start a run of an agent that an edge function has checked",
            method="POST",
            errors=(*OF_RUNS, WrongCaller),
            body=json_body(ValidatedBody, anAnswer=EXAMPLE),
            waits_for_run=True,
            is_counted_late=True,
        ),
    )
    return routes


async def execute_validated(
    request: Request,
    rooms: RoomsOf,
    _service: ServiceOf,
    _prefer: Prefer = None,
    _key: IdempotencyKey = None,
) -> Response:
    """For the service alone. The run keeps the configuration it is given, and is charged as any other is."""
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ValidatedBody, limit_bytes=EXECUTE_BYTES)
    caller = await spoken_for(request, rooms, body.user_id)
    order = order_of_validated(body, key=key, size_bytes=size_bytes)
    return await launch(request, rooms, caller, order, preference=preference, wants_stream=body.stream)
