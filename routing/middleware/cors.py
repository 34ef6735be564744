"""Which pages in which browsers may call: Starlette's own, with its refusals as problem documents.

Credentials travel in headers that a page sets itself; cookies are never allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from foundation.errors import OriginNotAllowed
from routing.problems import problem_of

__all__ = ["Cors"]

METHODS: Final = ("GET", "POST", "DELETE")
# What supabase-js may send is among them: the second half of this list.
TAKEN: Final = (
    "Authorization",
    "Cache-Control",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-Id",
    "x-api-key",
    "apikey",
    "baggage",
    "traceparent",
    "tracestate",
    "x-client-info",
    "x-region",
    "x-retry-count",
)
SHOWN: Final = (
    "Content-Disposition",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)


class Cors(CORSMiddleware):
    """`origins` are whole origins, `https://app.example`; `*` lets every page call."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=METHODS, allow_headers=TAKEN, expose_headers=SHOWN
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        return _Refused()


class _Refused(Response):
    """A problem document, made when the request it answers is known by name."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = OriginNotAllowed("a page of this origin may not ask that here; see ALLOWED_ORIGINS")
        await problem_of(scope, error)(scope, receive, send)
