"""Whether this process lives and can serve, for platforms, operators and edge functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from routing.answers import AgentHealth, Alive, Ready, WholeHealth
from routing.callers import RoomsOf
from routing.examples import AGENT_HEALTH, AGENT_UNWELL, ALIVE, HEALTH, NOT_READY, READY, UNWELL
from routing.openapi import Answer, operation
from routing.replies import Json

__all__ = ["router"]

SERVICE: Final = "switchyard"

Endpoint = Callable[..., Awaitable[Response]]


def router() -> APIRouter:
    routes = APIRouter(tags=["health"])
    for path, endpoint, name, summary, model, examples in _probes():
        well, *unwell = examples
        answers = [Answer("All is well.", model=model, example=well)]
        answers += [Answer("The same, saying what is wrong.", 503, model, each) for each in unwell]
        # A probe may ask for the status alone.
        heads = [Answer(each.description, each.status) for each in answers]
        routes.add_api_route(path, endpoint, **operation(f"get{name}", *answers, summary=summary))
        about = f"{summary}, by the status alone"
        routes.add_api_route(
            path, endpoint, **operation(f"probe{name}", *heads, summary=about, method="HEAD")
        )
    return routes


# Any: examples are JSON documents.
def _probes() -> list[tuple[str, Endpoint, str, str, type[BaseModel], tuple[Any, ...]]]:
    """Path, endpoint, the operation's name and summary, and its answer, well and unwell."""
    ready = ("Whether callers should be sent here", Ready, (READY, NOT_READY))
    return [
        ("/health/liveness", liveness, "Liveness", "Whether the process lives", Alive, (ALIVE,)),
        ("/health/readiness", readiness, "Readiness", *ready),
        ("/health/ready", readiness, "Ready", *ready),
        ("/health", health, "Health", "How the process is", WholeHealth, (HEALTH, UNWELL)),
        (
            "/api/agent/health",
            agent_health,
            "AgentHealth",
            "Whether to hand a run over",
            AgentHealth,
            (AGENT_HEALTH, AGENT_UNWELL),
        ),
    ]


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
