"""A user's API keys over HTTP: make one, list them, revoke one.

Only for the user in person: whoever has found a key must not be able to make another one, or to end those
that the owner needs.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import NotFound
from routing.answers import Keys, MadeKey
from routing.bodies import read_model
from routing.callers import RoomsOf, UserOf
from routing.cursors import parse_id
from routing.models import KeyBody
from routing.openapi import json_body, problems
from routing.replies import Json
from routing.wire import key_document

__all__ = ["router"]

BODY_BYTES: Final = 1024 * 1024

EXAMPLE: Final = {"name": "Nightly report"}


def router() -> APIRouter:
    routes = APIRouter(tags=["keys"])
    routes.add_api_route(
        "/api/keys",
        make_key,
        methods=["POST"],
        summary="Make an API key",
        status_code=201,
        response_model=MadeKey,
        responses=problems(400, 401, 403, 408, 413, 415, 422, 429, 502, 503),
        openapi_extra=json_body("KeyBody", EXAMPLE),
    )
    routes.add_api_route(
        "/api/keys",
        list_keys,
        methods=["GET"],
        summary="The caller's API keys",
        response_model=Keys,
        responses=problems(400, 401, 403, 429, 502, 503),
    )
    routes.add_api_route(
        "/api/keys/{key_id}",
        revoke_key,
        methods=["DELETE"],
        summary="Revoke an API key",
        status_code=204,
        response_class=Response,
        responses=problems(400, 401, 403, 404, 429, 502, 503),
    )
    return routes


async def make_key(request: Request, rooms: RoomsOf, caller: UserOf) -> Response:
    """The key is in this answer and nowhere else. A user may have 20 active ones."""
    body, _ = await read_model(request, KeyBody, limit_bytes=BODY_BYTES)
    made, key = await rooms.api_keys.create(caller.user_id, name=body.name)
    return Json({**key_document(made), "key": key}, status=201)


async def list_keys(rooms: RoomsOf, caller: UserOf) -> Response:
    """Without the keys themselves; the active ones first, then the newest, 200 at most."""
    found = await rooms.api_keys.all_of(caller.user_id)
    return Json({"keys": [key_document(each) for each in found]})


async def revoke_key(rooms: RoomsOf, caller: UserOf, key_id: str) -> Response:
    """For good. Servers that have just let the key in may do so for five more seconds. Runs go on."""
    key = parse_id(key_id, unknown=NotFound("no such key, or it is not yours"))
    await rooms.api_keys.revoke(caller.user_id, key)
    return Response(status_code=204)
