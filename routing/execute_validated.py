"""Starting a run of an agent that somebody else has checked: an edge function, or another backend."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import ConflictingCredentials, InvalidRequest, WrongCaller
from foundation.identity import Caller, backend_id
from heavy_agents.runs import Sender
from routing.agreement import check_owner
from routing.bodies import EXECUTE_BYTES, read_model
from routing.by_hand import ByHand
from routing.callers import RoomsOf, SenderOf, spoken_for
from routing.execute import ENDED_WELL, GOES_ON, OF_RUNS
from routing.launch import launch
from routing.models import ValidatedBody, order_of_validated
from routing.openapi import json_body, operation
from routing.parameters import IdempotencyKey, Prefer
from routing.preferences import parse_key, parse_prefer
from routing.rooms import Rooms

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
        route_class_override=ByHand,
        **operation(
            "executeValidated",
            ENDED_WELL,
            GOES_ON,
            summary="Start a run of an agent that an edge function or another backend has checked",
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
    backend: SenderOf,
    _prefer: Prefer = None,
    _key: IdempotencyKey = None,
) -> Response:
    """For the service, and for backends that are trusted here. The run keeps the configuration it is given.

    The service's is charged as any other is. Another backend's is not charged here at all, belongs to nobody
    of this project, and is open to that backend alone; its token names the `Idempotency-Key` that is wanted.
    """
    check_owner(request.headers, rooms.settings.credits_owner)
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ValidatedBody, limit_bytes=EXECUTE_BYTES)
    caller = backend or await spoken_for(request, rooms, body.user_id)
    sender = _checked(backend, rooms, user_id=body.user_id, key=key)
    order = order_of_validated(body, caller.user_id, key=key, size_bytes=size_bytes, sender=sender)
    return await launch(request, rooms, caller, order, preference=preference, wants_stream=body.stream)


def _checked(backend: Caller | None, rooms: Rooms, *, user_id: UUID, key: str | None) -> Sender | None:
    """The other backend, which may do with its token what that says and no more; None for the service.

    Raises:
        InvalidRequest: the run's key is not the token's.
        ConflictingCredentials: the run is another user's than the token.
    """
    if backend is None or (told := backend.forwarded) is None:
        return None
    if key != told.key:
        raise InvalidRequest("the Idempotency-Key must be the one that the forwarded run's token names")
    if user_id != told.subject:
        raise ConflictingCredentials("the forwarded run's token and the body name different users")
    return Sender(told.issuer, backend_id(told.issuer), rooms.settings.backend_runs_per_minute)
