"""Whether this process lives and can serve, for platforms, operators and edge functions."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from routing.answers import AgentHealth, Alive, Ready, WholeHealth
from routing.callers import RoomsOf
from routing.replies import Json

__all__ = ["router"]

SERVICE: Final = "switchyard"
UNWELL: Final[dict[int | str, dict[str, str]]] = {503: {"description": "The same, saying what is wrong."}}


def router() -> APIRouter:
    routes = APIRouter(tags=["health"])
    for path, endpoint, model in (
        ("/health/liveness", liveness, Alive),
        ("/health/readiness", readiness, Ready),
        ("/health/ready", readiness, Ready),
        ("/health", health, WholeHealth),
        ("/api/agent/health", agent_health, AgentHealth),
    ):
        routes.add_api_route(path, endpoint, methods=["GET"], response_model=model, responses=UNWELL)
        routes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    return routes


async def liveness() -> Response:
    """The process is there and its loop turns; nothing else is asked."""
    return Json({"status": "alive"})


async def readiness(rooms: RoomsOf) -> Response:
    """Whether callers should be sent here."""
    found = await rooms.health.readiness()
    status = "ready" if found.ready else "not_ready"
    return Json({"status": status, "checks": found.checks}, status=200 if found.ready else 503)


async def health(rooms: RoomsOf) -> Response:
    """The same for people, with the version and how long it runs (seconds)."""
    found = await rooms.health.readiness()
    document = {
        "status": "healthy" if found.ready else "unhealthy",
        "timestamp": rooms.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "service": SERVICE,
        "version": rooms.version,
        "uptime": round(rooms.health.uptime_s, 3),
        "checks": found.checks,
    }
    return Json(document, status=200 if found.ready else 503)


async def agent_health(rooms: RoomsOf) -> Response:
    """For edge functions: whether to hand a run over, and how many run here."""
    found = await rooms.health.readiness()
    active, slots = rooms.engine_capacity()
    document = {
        "status": "healthy" if found.ready else "unhealthy",
        "capacity": {"active": active, "slots": slots, "free": max(slots - active, 0)},
    }
    return Json(document, status=200 if found.ready else 503)
