"""What the front door needs from the rooms behind it, handed in as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request

from foundation.clock import Clock
from foundation.identity import ApiKeys, Authenticator
from foundation.limits import RequestLimits
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Tracer
from heavy_agents.runs import Runs
from routing.readers import Readers

__all__ = ["Rooms", "rooms_of"]


@dataclass(frozen=True, slots=True)
class Rooms:
    """`engine_capacity` answers (active, slots). `readers` is a service: drain it to end open streams."""

    settings: Settings
    runs: Runs
    engine_capacity: Callable[[], tuple[int, int]]
    authenticator: Authenticator
    api_keys: ApiKeys
    limits: RequestLimits
    metrics: Metrics
    health: Health
    clock: Clock
    version: str
    readers: Readers = field(default_factory=Readers)
    tracer: Tracer = field(default_factory=Tracer)


def rooms_of(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms
