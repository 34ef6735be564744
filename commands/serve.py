"""Serving until SIGTERM, and leaving well.

At SIGTERM readiness turns false and every run is given back while the listeners are still open, so that
whoever asks in that moment gets an answer; then the connections end, then the services.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn

from commands.backend import Backend, Build, with_database
from commands.quick import keep_what_is_loaded
from foundation.settings import Settings
from foundation.telemetry import configure
from routing import SOCKET_PROTOCOL, HttpProtocol

__all__ = ["Server", "serve", "serving"]

log = structlog.get_logger(__name__)

# Of the drain's seconds, what is kept for connections and services to end.
CLOSING_S = 2
BACKLOG = 2048
KEEP_ALIVE_S = 75


class Server(uvicorn.Server):
    """uvicorn, which drains before it closes its listeners."""

    def __init__(self, config: uvicorn.Config, backend: Backend, *, drain_s: float) -> None:
        super().__init__(config)
        self._backend = backend
        self._drain_s = drain_s

    @property
    def port(self) -> int:
        """The port it listens on; call it once started."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen for SIGTERM and SIGINT; a process that was told to go and left well ends with 0."""
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        log.info("draining", within_s=self._drain_s)
        self._backend.health.begin_draining()
        await self._backend.lifecycle.drain(within_s=self._drain_s)
        await super().shutdown(sockets)


async def serve(settings: Settings, build: Build) -> None:
    configure(settings.log_level, secrets=settings.secrets)
    async with with_database(settings) as complete, serving(complete, build) as server:
        await server.serve()


@asynccontextmanager
async def serving(settings: Settings, build: Build) -> AsyncIterator[Server]:
    """A server whose services run; `serve()` it."""
    backend = build(settings)
    await backend.lifecycle.start()
    keep_what_is_loaded()
    try:
        yield Server(_config(settings, backend), backend, drain_s=max(settings.drain_seconds - CLOSING_S, 1))
    finally:
        await asyncio.shield(backend.lifecycle.stop())


def _config(settings: Settings, backend: Backend) -> uvicorn.Config:
    return uvicorn.Config(
        backend.app,
        # With a port of the system's choosing each family would get another one.
        host=settings.host if settings.port else settings.host or "127.0.0.1",
        port=settings.port,
        loop="none",
        http=HttpProtocol,
        ws=SOCKET_PROTOCOL,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
