"""A span a request, under the template of its route, from its head to the end of its answer.

Of a stream of events, to its first byte: it lasts as long as the run, which has spans of its own. What only
looks whether the server is there is not traced.

Says nothing a caller has written: no path, no query, no header, no user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.errors import HeavyError
from foundation.telemetry import Kind, Span, Tracer, bind
from routing.middleware.access import UNMATCHED, method_of, route_of
from routing.problems import code_of

__all__ = ["Trace"]

SPARED: Final = ("/health", "/metrics")
STREAM: Final = b"text/event-stream"
FIRST_OWN_FAULT: Final = 500


class Trace:
    def __init__(self, app: ASGIApp, *, tracer: Tracer, require_service: Callable[[Headers], None]) -> None:
        """`require_service`: raises unless the service's secret is there; what it wants recorded is."""
        self._app = app
        self._tracer = tracer
        self._require_service = require_service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(SPARED):
            await self._app(scope, receive, send)
            return
        method = method_of(scope)
        with (
            self._tracer.span(method, kind=Kind.SERVER, parent=self._parent(scope)) as span,
            bind(trace_id=span.trace_id),
        ):
            span.set("http.request.method", method)
            try:
                await self._app(scope, receive, _telling(scope, span, send))
            finally:
                _name(span, scope)

    def _parent(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        given = headers.getlist("traceparent")
        return self._tracer.accept(given, is_trusted=self._is_service(headers)) if given else None

    def _is_service(self, headers: Headers) -> bool:
        try:
            self._require_service(headers)
        except HeavyError:
            return False
        return True


def _telling(scope: Scope, span: Span, send: Send) -> Send:
    is_stream = False

    async def send_told(message: Message) -> None:
        nonlocal is_stream
        if message["type"] == "http.response.start":
            is_stream = any(
                name == b"content-type" and value.startswith(STREAM) for name, value in message["headers"]
            )
            _answered(span, message["status"], code=code_of(scope))
        await send(message)
        if is_stream and message["type"] == "http.response.body":
            is_stream = False
            _name(span, scope)
            span.end()

    return send_told


def _answered(span: Span, status: int, *, code: str | None) -> None:
    span.set("http.response.status_code", status)
    if status >= FIRST_OWN_FAULT:
        span.fail(code or str(status))
    elif code is not None:
        span.set("error.type", code)


def _name(span: Span, scope: Scope) -> None:
    """The route is known once the request has found it."""
    route = route_of(scope)
    if route != UNMATCHED:
        span.set("http.route", route)
    span.rename(f"{method_of(scope)} {route}")
