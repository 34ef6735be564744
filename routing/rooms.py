"""What the front door needs from the rooms behind it, handed in as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from foundation.clock import Clock
from foundation.identity import ApiKeys, Authenticator, RunTokens
from foundation.limits import RequestLimits
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Tracer
from heavy_agents.edge import Edge
from heavy_agents.runs import Capacity, Runs
from routing.arrivals import Arrivals
from routing.readers import Readers
from routing.stream import Tempo

__all__ = ["Rooms", "rooms_of"]


@dataclass(frozen=True, slots=True)
class Rooms:
    """
    `capacity` is this process's, or that of all workers where none executes here. `readers` is a service:
    drain it to end open streams. `arrivals` is one too: it turns away whoever comes during a drain. `edge`
    does what an edge function does elsewhere. `run_tokens` is None where no run can be forwarded.
    """

    settings: Settings
    runs: Runs
    capacity: Callable[[], Capacity]
    authenticator: Authenticator
    api_keys: ApiKeys
    limits: RequestLimits
    metrics: Metrics
    health: Health
    clock: Clock
    version: str
    arrivals: Arrivals
    edge: Edge
    readers: Readers = field(default_factory=Readers)
    tracer: Tracer = field(default_factory=Tracer)
    run_tokens: RunTokens | None = None
    stream_tempo: Tempo = field(default_factory=Tempo)


async def rooms_of(request: Request) -> Rooms:
    """Asynchronous, because FastAPI takes any other dependency to a thread and back, at every request."""
    rooms: Rooms = request.app.state.rooms
    return rooms
