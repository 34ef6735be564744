"""Serving until SIGTERM, and leaving well.

What happens at SIGTERM, in this order, all of it within DRAIN_SECONDS:

    1  readiness is withdrawn; new requests are refused, and told to come back
    2  no more runs are claimed
    3  every run is given back, so that another process goes on with it
    4  readers and sockets are told to come back; light answers come to their end, or are released
    5  the listeners are closed; connections end, those that will not are cut
    6  the services stop

Until 5 the listeners are open: whoever asks in that moment gets an answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
import uvicorn

from commands.backend import Backend, Build, with_database
from commands.departure import Departure, leave_in_time
from commands.listen import listening, names_of, refusal
from commands.quick import keep_what_is_loaded
from foundation.settings import Settings
from foundation.telemetry import configure
from routing import SOCKET_PROTOCOL, HttpProtocol

__all__ = ["Server", "serve", "serving"]

log = structlog.get_logger(__name__)

# Of the time that is left, what handing over may take, and what connections may take to end.
DRAIN_SHARE = 0.75
CLOSING_SHARE = 1 / 3
CLOSING_MOST_S = 2.0
STOP_SHARE = 0.9
# Without a signal nothing but the start has failed.
DRAIN_MOST_S = 5.0
LOOK_S = 0.02
# uvicorn's own: ten of its ticks are a second.
TICK_S = 0.1
BACKLOG = 2048
KEEP_ALIVE_S = 75


class Server(uvicorn.Server):
    """uvicorn, which drains before it closes its listeners, by a deadline that is not its own."""

    def __init__(
        self, settings: Settings, backend: Backend, *, sockets: Sequence[socket.socket], departure: Departure
    ) -> None:
        super().__init__(_config(backend))
        self._settings = settings
        self._backend = backend
        self._sockets = list(sockets)
        self._departure = departure
        self._told = asyncio.Event()

    @property
    def port(self) -> int:
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to leave; returns when nobody is connected any more."""
        await super().serve(sockets or self._sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Whoever keeps the deadline hears the signals."""
        self._departure.tell(self._leave)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:
            # Somebody took the port since it was bound.
            raise refusal(error, host=self._settings.host, port=self.port) from error
        log.info("listening", on=names_of(self._sockets), role=self._settings.role)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        del sockets  # whoever opened them closes them
        self._backend.health.begin_draining()
        await self._backend.lifecycle.drain(within_s=self._departure.left_s * DRAIN_SHARE)
        await self._close(within_s=min(self._departure.left_s * CLOSING_SHARE, CLOSING_MOST_S))

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)

    def _leave(self) -> None:
        self.should_exit = True
        self._told.set()

    async def _close(self, *, within_s: float) -> None:
        """Let nobody in, see off who is there, and cut off who does not go."""
        clock = asyncio.get_running_loop()
        began_s, state = clock.time(), self.server_state
        for server in self.servers:
            server.close()
        connections = len(state.connections)
        for connection in tuple(state.connections):
            connection.shutdown()
        while (state.connections or state.tasks) and clock.time() < began_s + within_s:
            await asyncio.sleep(LOOK_S)
        cut = len(state.connections)
        for connection in tuple(state.connections):
            connection.transport.abort()
        # Whoever was writing to one of them finds it gone; only what waits for something else is left.
        await asyncio.sleep(LOOK_S if state.tasks else 0)
        for task in tuple(state.tasks):
            task.cancel()
        took_ms = round((clock.time() - began_s) * 1000)
        log.info("connections_closed", connections=connections, cut=cut, took_ms=took_ms)


async def serve(settings: Settings, build: Build) -> None:
    """Until SIGTERM or SIGINT, which may come at any moment of the start, too."""
    configure(settings.log_level, secrets=settings.secrets)

    async def until_told(departure: Departure) -> None:
        async with serving(settings, build, departure) as (_, server):
            await server.serve()

    await leave_in_time(until_told, within_s=settings.drain_seconds)


@asynccontextmanager
async def serving(
    settings: Settings, build: Build, departure: Departure
) -> AsyncIterator[tuple[Settings, Server]]:
    """The settings with their database, and a server on it whose services run; `serve()` it."""
    with listening(settings.host, settings.port) as sockets:
        async with with_database(settings) as complete:
            backend = build(complete)
            await backend.lifecycle.start()
            keep_what_is_loaded()
            try:
                yield complete, Server(complete, backend, sockets=sockets, departure=departure)
            finally:
                await asyncio.shield(_stop(backend, departure))


async def _stop(backend: Backend, departure: Departure) -> None:
    # A signal may come between the start of the services and that of the server: they may hold runs already.
    backend.health.begin_draining()
    await backend.lifecycle.drain(within_s=min(departure.left_s * DRAIN_SHARE, DRAIN_MOST_S))
    await backend.lifecycle.stop(within_s=departure.left_s * STOP_SHARE)


def _config(backend: Backend) -> uvicorn.Config:
    return uvicorn.Config(
        backend.app,
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
    )
