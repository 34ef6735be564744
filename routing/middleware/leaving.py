"""What becomes of requests while this process leaves: new ones are sent elsewhere, and no connection is kept.

Probes are answered to the end. So is a browser that asks for a stream of events: `EventSource` gives up for
good after any other status, but comes back when its stream ends with the hint to do so.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routing.arrivals import Arrivals
from routing.problems import problem_of

__all__ = ["Leaving"]

PROBES: Final = ("/health", "/metrics", "/api/agent/health")
STREAM: Final = "text/event-stream"


class Leaving:
    def __init__(self, app: ASGIApp, *, arrivals: Arrivals) -> None:
        self._app = app
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._arrivals.are_refused:
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        is_whole = False

        async def receive_in_time() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()
            async with self._arrivals.receiving():
                message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        if self._arrivals.are_refused and not _is_served_to_the_end(scope):
            await problem_of(scope, self._arrivals.refusal())(scope, receive, send_closing)
        else:
            await self._app(scope, receive_in_time, send_closing)


def _is_served_to_the_end(scope: Scope) -> bool:
    is_stream = scope["method"] == "GET" and STREAM in Headers(scope=scope).get("accept", "")
    return is_stream or scope["path"].startswith(PROBES)
