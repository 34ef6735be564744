"""One WebSocket as the rest of the room sees it: say something in time, wait for the next message, end.

A socket ends for a reason (`Farewell`) that may come from anywhere: a token runs out, the process leaves, a
reader is stuck. The reason interrupts only the wait for the next message, never the answering of one, so that
no run is lost between its acceptance and its first message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from foundation.errors import InvalidRequest, Json
from routing.batched import batched
from routing.json_bytes import json_bytes
from routing.socket.farewell import Farewell, farewell
from routing.socket.protocol import WRITE_NOW
from routing.taking import taken_enough

__all__ = ["Connection", "Left", "Tempo"]

log = structlog.get_logger(__name__)

CLOSING_S: Final = 1.0


class Left(Exception):
    """The client has gone; there is nobody to be answered."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """Seconds a client has for its first words, and after its token has run out."""

    auth_s: float = 5.0
    grace_s: float = 30.0


class Connection:
    def __init__(self, websocket: WebSocket, tempo: Tempo) -> None:
        self.tempo = tempo
        self._websocket = websocket
        self._ending: Farewell | None = None
        self._expires_at_s: float | None = None  # as the loop tells the time
        self._expiry: Farewell | None = None
        self._waiting: asyncio.Timeout | None = None
        offered = websocket.scope.get("extensions", {}).get(WRITE_NOW, {})
        self.taken_enough = taken_enough(websocket.scope)
        self._write_now: Callable[[Sequence[bytes]], bool] = offered.get("write", _never)

    async def accept(self, subprotocol: str | None) -> None:
        """
        Raises:
            Left: the client did not wait.
        """
        try:
            await self._websocket.accept(subprotocol)
        except WebSocketDisconnect:
            raise Left from None

    def end(self, reason: Farewell) -> None:
        """End soon, once what is being answered is answered. The first reason counts."""
        self._ending = self._ending or reason
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def expire(self, in_s: float | None, reason: Farewell) -> None:
        """End for `reason` in so many seconds; None for never. Replaces what was said before."""
        now_s = asyncio.get_running_loop().time()
        self._expires_at_s = None if in_s is None else now_s + in_s
        self._expiry = reason

    async def receive(self) -> str:
        """The text of the next message.

        Raises:
            Left: there is none.
            Farewell: the socket ends.
        """
        self._raise_if_over()
        try:
            async with asyncio.timeout_at(self._expires_at_s) as self._waiting:
                message = await self._websocket.receive()
        except TimeoutError:
            self._raise_if_over()
            raise
        finally:
            self._waiting = None
        if message["type"] == "websocket.disconnect":
            raise Left
        text: str | None = message.get("text")
        if text is None:
            raise farewell(InvalidRequest("send messages as text"))
        return text

    async def send(self, message: Mapping[str, Json]) -> None:
        """As `tell`."""
        await self.tell([json_bytes(message)])

    async def tell(self, texts: Iterable[bytes]) -> None:
        """Send messages that are encoded already.

        Raises:
            Left: the client has gone, or has taken too little for too long.
        """
        for batch in batched(texts):
            if not self._write_now(batch):
                for text in batch:
                    await self._wait_to_send(text.decode())

    async def _wait_to_send(self, text: str) -> None:
        try:
            # The protocol ends a connection whose client takes nothing, and this wait with it.
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, WebSocketDisconnected):
            raise Left from None

    async def close(self, reason: Farewell) -> None:
        """Say goodbye, as far as the client listens."""
        try:
            if reason.message is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSING_S):
                        await self.send(reason.message)
            async with asyncio.timeout(CLOSING_S):
                await self._websocket.close(reason.code, reason.reason)
        except (Left, Farewell, TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
            log.debug("socket_gone_before_goodbye", code=reason.code)

    def _raise_if_over(self) -> None:
        """A message that has arrived already would be taken without any wait that could be interrupted."""
        if self._ending is not None:
            raise self._ending
        is_expired = self._expires_at_s is not None and (
            asyncio.get_running_loop().time() >= self._expires_at_s
        )
        if is_expired and self._expiry is not None:
            raise self._expiry


def _never(_texts: Sequence[bytes]) -> bool:
    """What a server offers that only knows `send`."""
    return False
