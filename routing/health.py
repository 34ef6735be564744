"""Whether this process lives and can serve, for platforms and operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from routing.answers import Alive, Ready, WholeHealth
from routing.callers import RoomsOf
from routing.examples import ALIVE, HEALTH, NOT_READY, READY, UNWELL
from routing.openapi import Answer, operation
from routing.replies import Json

__all__ = ["Probe", "add_probe", "router"]

SERVICE: Final = "switchyard"

Endpoint = Callable[..., Awaitable[Response]]
# Path, endpoint, the operation's name and summary, and its answer, well and unwell.
# Any: examples are JSON documents.
Probe = tuple[str, Endpoint, str, str, type[BaseModel], tuple[Any, ...]]


def router() -> APIRouter:
    routes = APIRouter(tags=["health"])
    ready = ("Whether callers should be sent here", Ready, (READY, NOT_READY))
    probes: list[Probe] = [
        ("/health/liveness", liveness, "Liveness", "Whether the process lives", Alive, (ALIVE,)),
        ("/health/readiness", readiness, "Readiness", *ready),
        ("/health/ready", readiness, "Ready", *ready),
        ("/health", health, "Health", "How the process is", WholeHealth, (HEALTH, UNWELL)),
    ]
    for probe in probes:
        add_probe(routes, probe)
    return routes


def add_probe(routes: APIRouter, probe: Probe) -> None:
    path, endpoint, name, summary, model, (well, *unwell) = probe
    answers = [Answer("All is well.", model=model, example=well)]
    answers += [Answer("The same, saying what is wrong.", 503, model, each) for each in unwell]
    # A probe may ask for the status alone.
    heads = [Answer(each.description, each.status) for each in answers]
    routes.add_api_route(path, endpoint, **operation(f"get{name}", *answers, summary=summary))
    about = f"{summary}, by the status alone"
    routes.add_api_route(path, endpoint, **operation(f"probe{name}", *heads, summary=about, method="HEAD"))


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
