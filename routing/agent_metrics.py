"""What an agent has cost its callers, for its owner, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from foundation.errors import AgentNotFound
from routing.answers import AgentMetrics
from routing.callers import CallerOf, RoomsOf
from routing.cursors import parse_id
from routing.examples import AGENT_METRICS
from routing.openapi import OF_CALLERS, OF_PATHS, Answer, operation
from routing.parameters import AgentId
from routing.replies import Json
from routing.wire import agent_metrics_document

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["agents"])
    routes.add_api_route(
        "/api/agent/metrics/{agent_id}",
        get_agent_metrics,
        **operation(
            "getAgentMetrics",
            Answer("What it has cost so far.", model=AgentMetrics, example=AGENT_METRICS),
            summary="What an agent of the caller's own has cost its callers",
            errors=(*OF_CALLERS, *OF_PATHS, AgentNotFound),
        ),
    )
    return routes


async def get_agent_metrics(rooms: RoomsOf, caller: CallerOf, agent_id: AgentId) -> Response:
    """Whole credits, whoever paid them; for the agent's owner only."""
    agent = parse_id(agent_id, unknown=AgentNotFound("no such agent, or it is not yours"))
    return Json(agent_metrics_document(await rooms.runs.agent_metrics(caller.user_id, agent)))
