"""Who watches this process from outside, as the settings say: a collector of traces.

What a watcher needs is loaded only where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from foundation.ids import new_worker_id
from foundation.settings import Settings
from foundation.telemetry.courier import Post
from foundation.telemetry.metrics import Metrics
from foundation.telemetry.tracer import Tracer

__all__ = ["Observers", "observers_of"]


class Service(Protocol):
    """As `foundation.lifecycle` has it."""

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Observers:
    """`services` need the way out: start them after it."""

    tracer: Tracer
    services: tuple[Service, ...]


def observers_of(settings: Settings, *, post: Post, metrics: Metrics, version: str) -> Observers:
    if settings.traces_url is None:
        return Observers(Tracer(), ())
    from foundation.telemetry.tracing import Collector, Tracing

    collector = Collector(
        settings.traces_url,
        {**settings.otlp_headers, "user-agent": f"switchyard/{version}"},
        settings.otel_traces_sampler_arg,
        settings.otel_bsp_schedule_delay / 1000,
        {
            "service.name": settings.otel_service_name,
            "service.version": version,
            "service.instance.id": new_worker_id(),
            "deployment.environment.name": settings.environment.value,
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "python",
        },
    )
    tracing = Tracing(collector, post, lost=metrics.spans_dropped_total.inc)
    return Observers(Tracer(tracing), (tracing,))
