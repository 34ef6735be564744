"""The application: every route, what each answer passes, and how errors look. No logic of its own."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import Lifespan, Receive, Scope, Send

# Each area of the door has the name of what it serves; one of them is also a builtin.
from routing import (
    agent_health,
    agent_metrics,
    agent_runtime,
    agents,
    conversations,
    credits,  # noqa: A004
    events,
    execute,
    execute_validated,
    health,
    key_set,
    keys,
    metrics,
    runs,
    socket,
)
from routing.middleware import Access, Cors, Failures, Headers, Leaving, RequestId, Trace, Unread
from routing.openapi import ABOUT, DescribedApp
from routing.problems import handlers
from routing.rooms import Rooms

__all__ = ["create_app"]

AREAS = (
    execute,
    execute_validated,
    agent_runtime,
    runs,
    events,
    conversations,
    credits,
    agents,
    agent_metrics,
    keys,
    agent_health,
    key_set,
)
PROBES = (health, metrics)


def create_app(rooms: Rooms, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The front door of `rooms`, which the caller starts and stops; a worker's has nothing but its probes."""
    serves_callers = rooms.settings.role.serves_callers
    app = _App(
        **ABOUT | ({} if serves_callers else {"openapi_url": None}),
        version=rooms.version,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(rooms),
        exception_handlers=handlers(),
        # Requests are counted and timed by our own `Access` and traced by our own `Trace`: the framework's
        # spans last as long as a stream, and hold raw paths and what a client calls itself.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.rooms = rooms
    app.state.sockets = socket.Door(rooms)
    if serves_callers:
        for area in AREAS:
            app.include_router(area.router())
    for probe in PROBES:
        app.include_router(probe.router())
    return app


class _App(DescribedApp):
    """Sockets pass by what requests pass through: it does nothing for them and takes 8 kB each."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.state.sockets(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _middleware(rooms: Rooms) -> list[Middleware]:
    """From the outside in."""
    traced = Middleware(Trace, tracer=rooms.tracer, require_service=rooms.authenticator.require_service)
    return [
        Middleware(RequestId),
        *([traced] if rooms.tracer.records else []),
        Middleware(Access, metrics=rooms.metrics),
        Middleware(Headers),
        Middleware(Cors, origins=rooms.settings.allowed_origins),
        Middleware(Leaving, arrivals=rooms.arrivals),
        Middleware(Unread),
        Middleware(Failures),
    ]
