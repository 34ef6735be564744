"""Real MCP servers on loopback: of both generations of the protocol, and one that misbehaves as told.

Each keeps what it was asked, so that a test can see which generation was spoken and what was sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "LISTED",
    "Generation",
    "McpHost",
    "Script",
    "Seen",
    "answer",
    "offering",
    "serve_mcp",
    "serve_script",
    "stream",
]

Generation = Literal["modern", "legacy"]
# Any: a JSON-RPC message or a part of one; each test knows the shape it asks for.
Json = dict[str, Any]
Script = Callable[[Json, Send], Awaitable[None]]
# Any: what an app's lifespan gives out is the app's own business.
Run = Callable[[ASGIApp, AbstractAsyncContextManager[Any]], AbstractAsyncContextManager[None]]

LISTED: Final[Json] = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
DISCOVERED: Final[Json] = LISTED | {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
PIXEL: Final = b"\x89PNG\r\n\x1a\n not really"


@dataclass(frozen=True, slots=True)
class Seen:
    """One HTTP request; header names in lower case."""

    verb: str
    headers: Mapping[str, str]
    message: Json

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))


@dataclass
class McpHost:
    """`url` is where the protocol is spoken, `origin` what an operator would allow."""

    origin: str
    seen: list[Seen] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)  # tools whose work was stopped
    open_requests: int = 0
    forgets: bool = False  # the session it is asked in next
    always_forgets: bool = False

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def methods(self) -> list[str]:
        return [each.method for each in self.seen if each.verb == "POST"]

    def of(self, method: str) -> list[Seen]:
        return [each for each in self.seen if each.method == method]


@asynccontextmanager
async def serve_mcp(generation: Generation, *, json_response: bool = False) -> AsyncIterator[McpHost]:
    """A well-behaved server with a few tools; the legacy one knows the handshake only."""
    async with _serving() as (host, run):
        app = _tools(host).streamable_http_app(json_response=json_response)
        async with run(_Door(app, host, generation), app.router.lifespan_context(app)):
            yield host


@asynccontextmanager
async def serve_script(script: Script) -> AsyncIterator[McpHost]:
    """A server that answers each JSON-RPC message as `script` does; the message is {} where there is none."""
    async with _serving() as (host, run):

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await script(json.loads(await _body(receive) or b"{}"), send)

        async with run(_Door(app, host, None), nullcontext()):
            yield host


async def answer(
    send: Send, message: Json, *, status: int = 200, headers: Mapping[str, str] | None = None, **member: Json
) -> None:
    """Answer a JSON-RPC request with `result=…` or `error=…`, as JSON."""
    lines = {"content-type": "application/json"} | dict(headers or {})
    await _start(send, status=status, headers=lines)
    body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), **member}).encode()
    await send({"type": "http.response.body", "body": body})


def offering(*tools: Json, on_call: Script) -> Script:
    """A script that speaks the modern protocol well, but for its calls."""

    async def script(message: Json, send: Send) -> None:
        match message.get("method"):
            case "server/discover":
                await answer(send, message, result=DISCOVERED)
            case "tools/list":
                await answer(send, message, result=LISTED | {"tools": list(tools)})
            case _:
                await on_call(message, send)

    return script


async def stream(send: Send) -> Callable[[Json], Awaitable[None]]:
    """Begin an event stream; what comes back sends one message on it."""
    await _start(send, headers={"content-type": "text/event-stream"})

    async def event(message: Json) -> None:
        line = f"event: message\ndata: {json.dumps(message)}\n\n".encode()
        await send({"type": "http.response.body", "body": line, "more_body": True})

    return event


class _Door:
    """Before the app: keeps what comes in, and turns away what a server of its generation would not know."""

    def __init__(self, app: ASGIApp, host: McpHost, generation: Generation | None) -> None:
        self._app = app
        self._host = host
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive)
        message = json.loads(body) if body else {}
        self._host.seen.append(Seen(scope["method"], headers, message))
        self._host.open_requests += 1
        try:
            await self._admit(scope, _replay(body, receive), send, headers=headers, message=message)
        finally:
            self._host.open_requests -= 1

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, *, headers: Mapping[str, str], message: Json
    ) -> None:
        version = headers.get("mcp-protocol-version")
        is_handshake = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
        is_call = message.get("method") == "tools/call"
        if is_call and (self._host.forgets or self._host.always_forgets):
            self._host.forgets = False
            await answer(send, message, status=404, error={"code": -32600, "message": "Session not found"})
        elif self._generation == "legacy" and not is_handshake:
            error = {"code": -32000, "message": "Bad Request: Unsupported protocol version"}
            await answer(send, message, status=400, error=error)
        elif self._generation == "modern" and is_handshake:
            error = {"code": -32022, "message": "modern only", "data": {"supported": ["2026-07-28"]}}
            await answer(send, message, status=400, error=error)
        else:
            await self._app(scope, receive, send)


class Sum(BaseModel):
    total: int


def _tools(host: McpHost) -> MCPServer:
    server = _made_quietly()
    _add_plain_tools(server, host)
    _add_telling_tools(server)
    return server


def _add_plain_tools(server: MCPServer, host: McpHost) -> None:
    @server.tool()
    def add(a: int, b: int) -> Sum:
        """Add two numbers."""
        return Sum(total=a + b)

    @server.tool(structured_output=False)
    def echo(text: str) -> str:
        """Say the same again."""
        return text

    @server.tool()
    def fail() -> str:
        """Never works."""
        raise ToolError("the moon is in the wrong house")

    @server.tool(structured_output=False)
    async def wait(seconds: float) -> str:
        """Take a while."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            host.cancelled.append("wait")
            raise
        return "done"

    @server.tool()
    def picture() -> Image:
        """A picture."""
        return Image(data=PIXEL, format="png")


def _add_telling_tools(server: MCPServer) -> None:
    """Tools that tell what they know of the call, the session and the person."""
    counts: dict[str, int] = {}

    # Any: the context's parameters say what lives as long as the server and a request; here nothing does.
    @server.tool(structured_output=False)
    def count(ctx: Context[Any, Any]) -> str:
        """Count the calls of this session."""
        session = (ctx.headers or {}).get("mcp-session-id", "none")
        counts[session] = counts.get(session, 0) + 1
        return str(counts[session])

    @server.tool(structured_output=False)
    def key(ctx: Context[Any, Any]) -> str:
        """The idempotency key the call came with."""
        return str((ctx.request_context.meta or {}).get("switchyard/idempotencyKey"))

    @server.tool(structured_output=False)
    def header(name: str, ctx: Context[Any, Any]) -> str:
        """A header the call came with."""
        return str((ctx.headers or {}).get(name))

    @server.tool(structured_output=False)
    async def ask(ctx: Context[Any, Any]) -> str:
        """Ask the person something first."""
        given = await ctx.elicit("your name?", Name)
        return given.action


class Name(BaseModel):
    name: str


def _made_quietly() -> MCPServer:
    """The library gives the root logger a handler of its own; other tests look at that logger."""
    handlers, level = logging.root.handlers[:], logging.root.level
    server = MCPServer("test")
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    return server


@asynccontextmanager
async def _serving() -> AsyncIterator[tuple[McpHost, Run]]:
    """A host with an origin of its own, and what runs an app there until its block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = McpHost(f"http://127.0.0.1:{listener.getsockname()[1]}")

        @asynccontextmanager
        async def run(app: ASGIApp, life: AbstractAsyncContextManager[Any]) -> AsyncIterator[None]:
            server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    lifespan="off",
                    ws="none",
                    log_config=None,
                    access_log=False,
                    timeout_graceful_shutdown=1,
                )
            )

            # One task from beginning to end, because a fixture may be left by another than entered it.
            async def live() -> None:
                async with life:
                    # `serve` would take over the signals of the test process.
                    await server._serve([listener])

            running = asyncio.create_task(live())
            try:
                yield
            finally:
                server.should_exit = True
                server.force_exit = True
                await running

        yield host, run


async def _start(send: Send, *, status: int = 200, headers: Mapping[str, str]) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, then whatever really comes: mostly the client's leaving."""
    given = False

    async def again() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body
