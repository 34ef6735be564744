"""How the server says that it lives, can serve, and what it has done."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from routing.answers.words import Count, Wire

__all__ = ["AgentHealth", "Alive", "KeySet", "MetricsSummary", "Ready", "WholeHealth"]

Checks = Annotated[
    dict[str, str], Field(description="`ok`, or a sentence about what is wrong, by what was looked at.")
]


class PublicKey(Wire):
    """A JWK on P-256 for ES256; `kid` is its thumbprint (RFC 7638)."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    alg: Literal["ES256"]
    use: Literal["sig"]
    kid: str


class KeySet(Wire):
    keys: list[PublicKey]


class Alive(Wire):
    status: Literal["alive"]


class Ready(Wire):
    status: Literal["ready", "not_ready"]
    checks: Checks


class WholeHealth(Wire):
    status: Literal["healthy", "unhealthy"]
    timestamp: datetime
    service: str
    version: str
    uptime: float = Field(description="Seconds.", ge=0)
    checks: Checks


class Capacity(Wire):
    active: Count = Field(description="Runs that execute here now; with ROLE=web, on all workers together.")
    slots: Count = Field(description="How many may.")
    free: Count


class AgentHealth(Wire):
    status: Literal["healthy", "unhealthy"]
    capacity: Capacity


class RouteFigures(Wire):
    total: Count
    errors: Count = Field(description="Answered with a status from 500.")


class RequestFigures(RouteFigures):
    error_rate: float = Field(description="`errors` of `total`.", ge=0, le=1)
    by_route: dict[str, RouteFigures]


class Latencies(Wire):
    """To the first byte, over all routes; null before the first request."""

    p50: float | None
    p95: float | None
    p99: float | None


class MetricsSummary(Wire):
    requests: RequestFigures
    latency_ms: Latencies
    active_runs: Count
    runs: dict[str, Count] = Field(description="Runs that have ended, by status.")
