"""What every answer carries: orders to browsers, and how much of its limit the caller has left.

An answer that has set one of these itself keeps its own.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.limits import LimitVerdict

__all__ = ["Headers"]

API: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    # Browsers take it only over TLS.
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
DOCS_PATH: Final = "/docs"
# The page of the framework loads its script from a CDN and starts it in the page.
DOCS: Final = API | {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "connect-src 'self'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
        "style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com"
    )
}


class Headers:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (DOCS if scope["path"] == DOCS_PATH else API).items():
                    headers.setdefault(name, value)
                for name, value in _limit_headers(scope).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_guarded)


def _limit_headers(scope: Scope) -> dict[str, str]:
    verdict: LimitVerdict | None = scope.get("state", {}).get("rate_limit")
    return {} if verdict is None else verdict.headers()
