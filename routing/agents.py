"""The agents a caller may run, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import Agents
from routing.callers import CallerOf, RoomsOf
from routing.openapi import problems
from routing.replies import Json
from routing.wire import agent_document

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["agents"])
    routes.add_api_route(
        "/api/agents",
        list_agents,
        methods=["GET"],
        summary="List the agents the caller may run",
        response_model=Agents,
        responses=problems(400, 401, 429, 502, 503),
    )
    return routes


async def list_agents(rooms: RoomsOf, caller: CallerOf) -> Response:
    """The caller's own first, then the published ones."""
    found = await rooms.runs.agents(caller.user_id)
    return Json({"agents": [agent_document(agent) for agent in found]})
