"""Whether an edge function should hand a run over here, and how many are executed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import AgentHealth
from routing.callers import RoomsOf
from routing.examples import AGENT_HEALTH, AGENT_UNWELL
from routing.health import Probe, add_probe
from routing.replies import Json

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["health"])
    about = "Whether to hand a run over"
    examples = (AGENT_HEALTH, AGENT_UNWELL)
    probe: Probe = ("/api/agent/health", agent_health, "AgentHealth", about, AgentHealth, examples)
    add_probe(routes, probe)
    return routes


async def agent_health(rooms: RoomsOf) -> Response:
    """For edge functions: whether to hand a run over, and how many run here."""
    found = await rooms.health.readiness()
    capacity = rooms.capacity()
    document = {
        "status": "healthy" if found.ready else "unhealthy",
        "capacity": {
            "active": capacity.active,
            "slots": capacity.slots,
            "free": max(capacity.slots - capacity.active, 0),
        },
    }
    return Json(document, status=200 if found.ready else 503)
