"""The scripted model server: Chat Completions over real HTTP, with the faults of real providers.

POST /v1/chat/completions   as the script says
GET  /v1/models
POST /script                a list of rules; forgets what the former ones were asked
GET  /log                   the calls so far
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import orjson
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.support.model.answer import answer
from tests.support.model.log import CallLog
from tests.support.model.script import Rule, Script

__all__ = ["ModelServer", "serve_model"]

RESET = struct.pack("ii", 1, 0)
# As providers do. Clients let an idle connection go after 5 s; were it ours to close at the same time,
# a request could cross that.
KEPT_ALIVE_S = 75


class ModelServer:
    """`url` ends in /v1, as `base_url` of a client wants it."""

    def __init__(self, port: int, *, log: CallLog) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self.log = log
        self._script = Script()

    async def play(self, *rules: Rule) -> None:
        """Answer by these rules from now on, and forget the calls so far."""
        self._script = Script(rules)
        await self.log.forget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        match scope["method"], scope["path"]:
            case "POST", "/v1/chat/completions":
                await self._complete(scope, json.loads(body), receive=receive, send=send)
            case "GET", "/v1/models":
                await _json(send, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
            case "POST", "/script":
                await self.play(*json.loads(body))
                await _json(send, {})
            case "GET", "/log":
                await _json(send, [asdict(asked) for asked in self.log.calls])
            case _:
                await _json(send, {"error": {"message": "no such page"}}, status=404)

    async def _complete(self, scope: Scope, body: dict[str, object], *, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        asked = await self.log.begin(headers, body, connection=scope["client"][1])
        reply = self._script.choose(body)
        transport: asyncio.Transport = scope["transport"]

        def cut(*, is_reset: bool) -> None:
            if is_reset:
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                transport.abort()
            else:
                transport.close()

        answering = asyncio.create_task(answer(reply, asked, send=send, cut=cut))
        leaving = asyncio.create_task(_left(receive))
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        ended = answering.result() if answering.done() else "left"
        if transport.is_closing():
            await leaving
        for task in (answering, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.log.end(asked, ended)


@asynccontextmanager
async def serve_model(
    *rules: Rule, port: int = 0, log_file: Path | None = None
) -> AsyncIterator[ModelServer]:
    """Serve until the block ends."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        # asyncio does this only for sockets that it has made itself; without it a small piece may wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        model = ModelServer(listener.getsockname()[1], log=CallLog(log_file))
        await model.play(*rules)
        config = uvicorn.Config(
            model,
            http=_Protocol,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=KEPT_ALIVE_S,
        )
        server = uvicorn.Server(config)
        # `serve` would take over the signals of the test process.
        running = asyncio.create_task(server._serve([listener]))
        try:
            yield model
        finally:
            server.should_exit = True
            server.force_exit = True
            await running


class _Protocol(HttpToolsProtocol):
    """Lets the application break its own connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # The application's own key: the types of ASGI do not know it.
        self.scope["transport"] = self.transport  # type: ignore[typeddict-unknown-key]


async def _json(send: Send, document: Mapping[str, object] | Sequence[object], *, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(document)})


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
