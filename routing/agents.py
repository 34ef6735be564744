"""The agents a caller may run, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import Agents
from routing.callers import CallerOf, RoomsOf
from routing.examples import AGENTS
from routing.openapi import OF_CALLERS, Answer, operation
from routing.replies import Json
from routing.wire import agent_document

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["agents"])
    routes.add_api_route(
        "/api/agents",
        list_agents,
        **operation(
            "listAgents",
            Answer("The agents.", model=Agents, example=AGENTS),
            summary="List the agents the caller may run",
            errors=OF_CALLERS,
        ),
    )
    return routes


async def list_agents(rooms: RoomsOf, caller: CallerOf) -> Response:
    """The caller's own first, then the published ones."""
    found = await rooms.runs.agents(caller.user_id)
    return Json({"agents": [agent_document(agent) for agent in found]})
