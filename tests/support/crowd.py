"""Clients of every kind that a server may have when it is told to go."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.support.bare import Bare, message, opening
from tests.support.process import ServerProcess
from tests.support.raw import exchange, request_head

__all__ = ["half_a_body", "idle_connection", "idle_socket", "probe", "reads_nothing"]


def token_of(server: ServerProcess) -> str:
    return server.client.headers["authorization"].removeprefix("Bearer ")


def url_of(server: ServerProcess) -> str:
    return str(server.client.base_url).rstrip("/")


async def idle_connection(stack: AsyncExitStack, server: ServerProcess) -> Bare:
    """One that is kept after a request."""
    bare = await stack.enter_async_context(Bare.connected(url_of(server)))
    bare.transport.write(b"GET /health/liveness HTTP/1.1\r\nHost: x\r\n\r\n")
    await bare.until(lambda: b"alive" in bare.received)
    return bare


async def half_a_body(stack: AsyncExitStack, server: ServerProcess) -> Bare:
    """A request that the server has begun to wait for the rest of."""
    headers = [
        ("authorization", f"Bearer {token_of(server)}"),
        ("content-type", "application/json"),
        ("content-length", "1000"),
        ("expect", "100-continue"),
    ]
    bare = await stack.enter_async_context(Bare.connected(url_of(server)))
    bare.transport.write(request_head("POST", "/api/agent/execute", headers))
    await bare.until(lambda: b"100 Continue" in bare.received)
    bare.transport.write(b'{"agentId":')
    return bare


async def reads_nothing(stack: AsyncExitStack, server: ServerProcess, run_id: str) -> None:
    """A stream and a socket of a run, neither of which is ever read."""
    token = token_of(server)
    stream = await stack.enter_async_context(Bare.connected(url_of(server), buffer_bytes=4096))
    stream.transport.pause_reading()
    headers = [("authorization", f"Bearer {token}"), ("accept", "text/event-stream")]
    stream.transport.write(request_head("GET", f"/api/runs/{run_id}/events", headers))
    socket = await stack.enter_async_context(Bare.connected(url_of(server), buffer_bytes=4096))
    await socket.say(opening(token=token))
    assert await socket.status() == 101
    socket.transport.pause_reading()
    await socket.say(message("agent_resume", runId=run_id))


async def idle_socket(stack: AsyncExitStack, server: ServerProcess) -> None:
    """One that was opened, and never hears that it should close."""
    socket = await stack.enter_async_context(Bare.connected(url_of(server)))
    await socket.say(opening(token=token_of(server)))
    assert await socket.status() == 101


async def probe(server: ServerProcess, told: list[str], *, until_closed: asyncio.Event) -> None:
    """Ask on new connections, again and again, as long as anybody takes them."""
    url = url_of(server)
    while not until_closed.is_set():
        try:
            ready = await exchange(url, request_head("GET", "/health/readiness", []))
            new = await exchange(url, request_head("GET", "/api/credits", []))
        except OSError:
            told.append("refused")
            return
        if ready is not None and new is not None:
            told.append(f"ready {ready.status_code}, new {new.status_code}")
