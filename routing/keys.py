"""A user's API keys over HTTP: make one, list them, revoke one.

Only for the user in person: whoever has found a key must not be able to make another one, or to end those
that the owner needs.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import NotFound, WrongCaller
from routing.answers import Keys, MadeKey
from routing.bodies import read_model
from routing.callers import RoomsOf, UserOf
from routing.cursors import parse_id
from routing.examples import KEYS, MADE_KEY
from routing.models import KeyBody
from routing.openapi import OF_BODIES, OF_CALLERS, Answer, json_body, operation
from routing.parameters import KeyId
from routing.replies import Json
from routing.wire import key_document

__all__ = ["router"]

BODY_BYTES: Final = 1024 * 1024

REFUSALS: Final = (*OF_CALLERS, WrongCaller)


def router() -> APIRouter:
    routes = APIRouter(tags=["keys"])
    routes.add_api_route(
        "/api/keys",
        make_key,
        **operation(
            "makeKey",
            Answer("The key, shown this once.", status=201, model=MadeKey, example=MADE_KEY),
            summary="Make an API key",
            method="POST",
            errors=(*REFUSALS, *OF_BODIES),
            body=json_body(KeyBody, aKey={"name": "Nightly report"}),
        ),
    )
    routes.add_api_route(
        "/api/keys",
        list_keys,
        **operation(
            "listKeys",
            Answer("The keys, without themselves.", model=Keys, example=KEYS),
            summary="List the caller's API keys",
            errors=REFUSALS,
        ),
    )
    routes.add_api_route(
        "/api/keys/{key_id}",
        revoke_key,
        **operation(
            "revokeKey",
            Answer("It is revoked, now or before.", status=204),
            summary="Revoke an API key",
            method="DELETE",
            errors=(*REFUSALS, NotFound),
        ),
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


async def revoke_key(rooms: RoomsOf, caller: UserOf, key_id: KeyId) -> Response:
    """For good. Servers that have just let the key in may do so for five more seconds. Runs go on."""
    key = parse_id(key_id, unknown=NotFound("no such key, or it is not yours"))
    await rooms.api_keys.revoke(caller.user_id, key)
    return Response(status_code=204)
