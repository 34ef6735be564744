"""The figures of this process over HTTP, for Prometheus and for people."""

from __future__ import annotations

import hmac
from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from foundation.errors import InvalidToken
from routing.answers import MetricsSummary
from routing.callers import RoomsOf
from routing.examples import METRICS as FIGURES
from routing.examples import SUMMARY
from routing.openapi import METRICS, Answer, operation
from routing.replies import Json

__all__ = ["router"]


FORMATS: Final = ("text/plain", "application/openmetrics-text")
TEXT: Final = {"schema": {"type": "string"}, "example": FIGURES}


def router() -> APIRouter:
    routes = APIRouter(tags=["metrics"], dependencies=[Depends(guard)])
    routes.add_api_route(
        "/metrics",
        get_metrics,
        **operation(
            "getMetrics",
            Answer("The figures of this process since its start.", other=dict.fromkeys(FORMATS, TEXT)),
            summary="The figures, for Prometheus",
            errors=[InvalidToken],
        ),
    )
    routes.add_api_route(
        "/metrics/summary",
        get_summary,
        **operation(
            "getMetricsSummary",
            Answer("The same figures, summed up.", model=MetricsSummary, example=SUMMARY),
            summary="The figures, for people",
            errors=[InvalidToken],
        ),
    )
    return routes


async def guard(request: Request, rooms: RoomsOf, _token: object = METRICS) -> None:
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
