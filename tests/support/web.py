"""A small real web server on loopback, with a log of what it was asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

__all__ = ["Answer", "Asked", "Web", "serve_web"]

Answer = Callable[[Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; header names in lower case, `path` with its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Web:
    """`url` has no trailing slash. A path nobody set an answer for is 404."""

    url: str
    port: int
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def reply(
        self, path: str, body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer `path` with this from now on."""
        lines = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]

        async def answer(send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": lines})
            await send({"type": "http.response.body", "body": body})

        self.answers[path] = answer

    def asked_for(self, path: str) -> list[Asked]:
        return [each for each in self.asked if each.path.partition("?")[0] == path]

    async def until_asked(self, path: str, *, within_s: float = 5.0) -> None:
        """Return once `path` was asked for."""
        async with asyncio.timeout(within_s), self.news:
            await self.news.wait_for(lambda: self.asked_for(path) != [])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"] + (f"?{query}" if query else "")
        asked = Asked(scope["method"], path, headers, await _body(receive))
        async with self.news:
            self.asked.append(asked)
            self.news.notify_all()
        if (answer := self.answers.get(scope["path"])) is not None:
            await answer(send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"nothing here"})


@asynccontextmanager
async def serve_web(*, certificate: Path | None = None, key: Path | None = None) -> AsyncIterator[Web]:
    """Serve until the block ends; over TLS with a certificate and its key."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        web = Web(f"{'https' if certificate else 'http'}://127.0.0.1:{port}", port)
        server = uvicorn.Server(
            uvicorn.Config(
                web,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        # `serve` would take over the signals of the test process.
        running = asyncio.create_task(server._serve([listener]))
        try:
            yield web
        finally:
            server.should_exit = True
            server.force_exit = True
            await running


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body
