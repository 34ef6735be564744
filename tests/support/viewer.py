"""A client of one run, who comes back to another server whenever the connection ends."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx2
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.support.transcript import Message, as_streamed, is_terminal

__all__ = ["Heard", "Viewer"]

GONE = (OSError, EOFError, TimeoutError, ConnectionClosed, InvalidHandshake)


@dataclass(frozen=True, slots=True)
class Heard:
    """`at_s`: of the machine's monotonic clock. `visit`: the connection it came over, counted from 1."""

    message: Message
    at_s: float
    visit: int


@dataclass
class Viewer:
    """
    choose: the address of a server to go to, by the number of the visit.
    """

    run_id: str
    token: str
    client: httpx2.AsyncClient
    choose: Callable[[int], Awaitable[str]]
    dice: random.Random
    heard: list[Heard] = field(default_factory=list)
    visits: int = 0
    sent_away: int = 0  # how often a server has said that it goes

    @property
    def seen(self) -> list[Message]:
        return [each.message for each in self.heard]

    @property
    def is_over(self) -> bool:
        return bool(self.heard) and is_terminal(self.heard[-1].message)

    @property
    def after(self) -> int:
        return int(self.heard[-1].message["seq"]) if self.heard else 0

    async def watch(self) -> None:
        """Until the run is over; over server-sent events and sockets as the dice have it."""
        while not self.is_over:
            self.visits += 1
            visit = self.dice.choice((self._stream, self._socket))
            async with aclosing(visit(await self.choose(self.visits))) as messages:
                async for message in messages:
                    self._hear(message)
                    if is_terminal(message):
                        break

    def _hear(self, message: Message) -> None:
        # One without a number is about the connection.
        if "seq" in message:
            self.heard.append(Heard(message, time.monotonic(), self.visits))
        elif message["type"] == "reconnect":
            self.sent_away += 1

    async def _stream(self, url: str) -> AsyncGenerator[Message, None]:
        headers = {
            "Accept": "text/event-stream",
            "Last-Event-ID": str(self.after),
            "Authorization": f"Bearer {self.token}",
        }
        address = f"{url}/api/runs/{self.run_id}/events"
        try:
            async with self.client.stream("GET", address, headers=headers) as answer:
                if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                    return
                if answer.status_code != HTTPStatus.OK:
                    text = (await answer.aread()).decode()
                    raise AssertionError(f"a stream was answered with {answer.status_code}: {text}")
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield orjson.loads(line[5:])
        except httpx2.TransportError:
            return

    async def _socket(self, url: str) -> AsyncGenerator[Message, None]:
        offered = [Subprotocol("switchyard.v1"), Subprotocol(f"jwt-{self.token}")]
        address = url.replace("http", "ws", 1) + "/ws"
        options = {"compression": None, "proxy": None, "ping_interval": None, "close_timeout": 1}
        try:
            # Any: options of the library.
            async with connect(address, subprotocols=offered, **options) as socket:  # type: ignore[arg-type]
                await socket.send(
                    json.dumps({"type": "agent_resume", "runId": self.run_id, "after": self.after})
                )
                async for text in socket:
                    message: Message = orjson.loads(text)
                    if "seq" not in message and message["type"] == "error":
                        if message.get("code") in {"draining", "database_unavailable"}:
                            return
                        raise AssertionError(f"a socket was answered with {message}")
                    yield message if "seq" not in message else as_streamed(message)
        except GONE:
            return
