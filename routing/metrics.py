"""The figures of this process over HTTP, for Prometheus and for people."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from foundation.errors import InvalidToken
from routing.callers import RoomsOf
from routing.openapi import problems
from routing.replies import Json

__all__ = ["router"]


def router() -> APIRouter:
    routes = APIRouter(tags=["metrics"], dependencies=[Depends(guard)], responses=problems(401))
    routes.add_api_route("/metrics", get_metrics, methods=["GET"], response_class=Response)
    routes.add_api_route("/metrics/summary", get_summary, methods=["GET"])
    return routes


async def guard(request: Request, rooms: RoomsOf) -> None:
    """
    Raises:
        InvalidToken: a METRICS_TOKEN is set and this is not it.
    """
    token = rooms.settings.metrics_token
    if token is None:
        return
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    is_right = hmac.compare_digest(sent.encode("latin-1"), token.get_secret_value().encode())
    if scheme.lower() != "bearer" or not is_right:
        raise InvalidToken("send Authorization: Bearer with the METRICS_TOKEN of this server")


async def get_metrics(request: Request, rooms: RoomsOf) -> Response:
    """Prometheus text, or OpenMetrics when asked for."""
    content, content_type = rooms.metrics.render(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})


async def get_summary(rooms: RoomsOf) -> Response:
    """Requests, latencies, error rates and active runs."""
    return Json(rooms.metrics.summary())
