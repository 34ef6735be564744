"""The caller's account over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import Credits
from routing.callers import CallerOf, RoomsOf
from routing.examples import CREDITS
from routing.openapi import OF_CALLERS, Answer, operation
from routing.replies import Json
from routing.wire import credits_document

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["credits"])
    routes.add_api_route(
        "/api/credits",
        get_credits,
        **operation(
            "getCredits",
            Answer("The caller's account.", model=Credits, example=CREDITS),
            summary="What the caller has",
            errors=OF_CALLERS,
        ),
    )
    return routes


async def get_credits(rooms: RoomsOf, caller: CallerOf) -> Response:
    """Whole credits; `available` is what no run holds."""
    return Json(credits_document(await rooms.runs.credits(caller.user_id)))
