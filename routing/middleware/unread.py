"""What becomes of a body nobody took: the answer ends the connection, once what is on its way has come.

A refusal comes before the body was read. The server would go on taking the rest in, as slowly as the client
likes, only to drop it; so it is told to close instead. But a connection that is closed while something comes
in is reset, which may take the answer with it (RFC 9112, section 9.6): so what comes is dropped for a moment,
unless the client was refused for being slow.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Unread"]

LINGER_S: Final = 1.0
LINGER_BYTES: Final = 256 * 1024


class Unread:
    def __init__(self, app: ASGIApp, *, linger_s: float = LINGER_S) -> None:
        self._app = app
        self._linger_s = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_unread, is_worth_waiting = True, False

        async def receive_noted() -> Message:
            nonlocal is_unread
            message = await receive()
            is_unread = is_unread and message.get("more_body", False)
            return message

        async def send_closing(message: Message) -> None:
            nonlocal is_worth_waiting
            if message["type"] == "http.response.start" and is_unread:
                MutableHeaders(scope=message)["connection"] = "close"
                is_worth_waiting = message["status"] != HTTPStatus.REQUEST_TIMEOUT
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and is_unread and is_worth_waiting:
                # The whole answer now, and its end when the client has had its say.
                await send({**message, "more_body": True})
                await self._drop(receive)
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, receive_noted, send_closing)

    async def _drop(self, receive: Receive) -> None:
        dropped_bytes = 0
        try:
            async with asyncio.timeout(self._linger_s):
                while dropped_bytes < LINGER_BYTES:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    dropped_bytes += len(message.get("body", b""))
        except TimeoutError:
            return


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
