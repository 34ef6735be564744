"""What becomes of an exception nobody expected: it is logged, and the caller learns that it is our fault."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routing.problems import unexpected

__all__ = ["Failures", "broke_off"]

log = structlog.get_logger(__name__)

BROKE_OFF: Final = "broke_off"


class Failures:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except ClientDisconnect:
            raise
        except Exception as error:
            if not has_begun:
                await unexpected(scope, error)(scope, receive, send)
                return
            # Half an answer cannot be taken back. Left incomplete, the server closes the connection, so
            # that nobody takes it for whole.
            log.exception("answer_broke_off")
            scope.setdefault("state", {})[BROKE_OFF] = True


def broke_off(scope: Scope) -> bool:
    """Whether the answer failed after its status was sent, which said otherwise."""
    return BROKE_OFF in scope.get("state", {})
