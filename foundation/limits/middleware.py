"""How the limit is put in front of an application: pure ASGI, so streams pass untouched.

Who is counted and how a refusal looks belong to the front door and are handed in. WebSockets pass: they have
limits of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.errors import RateLimited
from foundation.limits.requests import RequestLimit
from foundation.limits.verdict import LimitVerdict, RequestLimitReached

__all__ = ["LimitRequests", "Refuse"]


class Refuse(Protocol):
    def __call__(
        self, scope: Scope, receive: Receive, send: Send, /, *, error: RateLimited
    ) -> Awaitable[None]:
        """Answer a request that may not go on."""
        ...


class LimitRequests:
    def __init__(
        self, app: ASGIApp, *, limit: RequestLimit, key_of: Callable[[Scope], str | None], refuse: Refuse
    ) -> None:
        """
        Args:
            key_of: whom a request is counted for; None for nobody (probes).
        """
        self._app = app
        self._limit = limit
        self._key_of = key_of
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._key_of(scope) if scope["type"] == "http" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        verdict = self._limit.check(key)
        if verdict.allowed:
            await self._app(scope, receive, _telling(verdict, send))
        else:
            await self._refuse(scope, receive, send, error=RequestLimitReached(verdict))


def _telling(verdict: LimitVerdict, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(verdict.headers())
        await send(message)

    return send_with_headers
