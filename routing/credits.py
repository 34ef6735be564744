"""The caller's account over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import Credits
from routing.callers import CallerOf, RoomsOf
from routing.openapi import problems
from routing.replies import Json
from routing.wire import credits_document

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["credits"])
    routes.add_api_route(
        "/api/credits",
        get_credits,
        methods=["GET"],
        summary="What the caller has",
        response_model=Credits,
        responses=problems(400, 401, 429, 502, 503),
    )
    return routes


async def get_credits(rooms: RoomsOf, caller: CallerOf) -> Response:
    """Whole credits; `available` is what no run holds."""
    return Json(credits_document(await rooms.runs.credits(caller.user_id)))
