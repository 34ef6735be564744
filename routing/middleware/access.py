"""One log line and one count a request, under the template of its route: never a raw path."""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.telemetry import Metrics
from routing.middleware.failures import broke_off

__all__ = ["UNMATCHED", "Access", "method_of", "route_of"]

log = structlog.get_logger(__name__)

UNMATCHED: Final = "unmatched"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# As nginx says it: the client left before there was an answer.
CLIENT_LEFT: Final = 499
# What an answer comes to that fails after it has begun, or where nothing answers for it.
BROKEN: Final = 500


class Access:
    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status = CLIENT_LEFT
        first_byte_s: float | None = None

        async def send_timed(message: Message) -> None:
            nonlocal status, first_byte_s
            if message["type"] == "http.response.start":
                status = message["status"]
            elif first_byte_s is None:
                first_byte_s = time.perf_counter() - began_s
            await send(message)

        try:
            await self._app(scope, receive, send_timed)
        except ClientDisconnect:
            # There is nobody left to answer; the run goes on without.
            pass
        except Exception:
            status = BROKEN
            raise
        finally:
            if broke_off(scope):
                status = BROKEN
            took_s = time.perf_counter() - began_s
            self._record(scope, status, first_byte_s=first_byte_s or took_s, took_s=took_s)

    def _record(self, scope: Scope, status: int, *, first_byte_s: float, took_s: float) -> None:
        route, method = route_of(scope), method_of(scope)
        self._metrics.http_requests_total.labels(route=route, method=method, status=str(status)).inc()
        self._metrics.http_request_seconds.labels(route=route).observe(first_byte_s)
        say = log.debug if route.startswith(("/health", "/metrics")) else log.info
        say("request", method=method, route=route, status=status, took_ms=round(took_s * 1000, 1))


def route_of(scope: Scope) -> str:
    """The template of the route, which is known once the request has found it."""
    route: str = getattr(scope.get("route"), "path_format", UNMATCHED)
    return route


def method_of(scope: Scope) -> str:
    """One of those there are: a client may write anything."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
