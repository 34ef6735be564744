"""The public keys of this backend, with which others prove the runs that it forwards to them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from foundation.identity import KEYS_PATH
from routing.answers import KeySet
from routing.callers import RoomsOf
from routing.examples import KEY_SET
from routing.openapi import Answer, operation
from routing.replies import Json

__all__ = ["router"]

# Others look again when they meet a key they do not know, so that this only bounds how long one is taken.
FRESH: Final = {"Cache-Control": "public, max-age=300"}


def router() -> APIRouter:
    routes = APIRouter(tags=["backends"])
    routes.add_api_route(
        KEYS_PATH,
        read_key_set,
        **operation(
            "readKeySet",
            Answer("The keys; none where no run is forwarded.", model=KeySet, example=KEY_SET),
            summary="The keys this backend signs forwarded runs with",
        ),
    )
    return routes


async def read_key_set(rooms: RoomsOf) -> Response:
    """Public halves only, as a set of JWKs (RFC 7517). For backends that take the runs of this one."""
    document = {"keys": []} if rooms.run_tokens is None else rooms.run_tokens.key_set
    return Json(document, headers=FRESH)
