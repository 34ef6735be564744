"""Who watches this process from outside, as the settings say: a collector of traces, and Sentry.

What a watcher needs is loaded only where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from foundation.clock import Clock
from foundation.ids import new_worker_id
from foundation.settings import Settings
from foundation.telemetry.courier import Post
from foundation.telemetry.metrics import Metrics
from foundation.telemetry.redaction import Redactor
from foundation.telemetry.tracer import Tracer

if TYPE_CHECKING:
    from foundation.telemetry.sentry import Sentry
    from foundation.telemetry.tracing import Tracing

__all__ = ["Observers", "observers_of"]


class Service(Protocol):
    """As `foundation.lifecycle` has it."""

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span or a report comes from; `process` is another one after every start."""

    process: str
    version: str


@dataclass(frozen=True, slots=True)
class Observers:
    """`services` need the way out: start them after it."""

    tracer: Tracer
    services: tuple[Service, ...]


def observers_of(
    settings: Settings, *, post: Post, metrics: Metrics, clock: Clock, version: str
) -> Observers:
    place = Place(new_worker_id(), version)
    tracing = _tracing(settings, post, metrics, place)
    sentry = _sentry(settings, post, metrics, clock, place)
    services = tuple(each for each in (sentry, tracing) if each is not None)
    return Observers(Tracer(tracing), services)


def _tracing(settings: Settings, post: Post, metrics: Metrics, place: Place) -> Tracing | None:
    if settings.traces_url is None:
        return None
    from foundation.telemetry.tracing import Collector, Tracing

    collector = Collector(
        settings.traces_url,
        {**settings.otlp_headers, "user-agent": f"switchyard/{place.version}"},
        settings.otel_traces_sampler_arg,
        settings.otel_bsp_schedule_delay / 1000,
        {
            "service.name": settings.otel_service_name,
            "service.version": place.version,
            "service.instance.id": place.process,
            "deployment.environment.name": settings.environment.value,
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "python",
        },
    )
    return Tracing(collector, post, lost=metrics.spans_dropped_total.inc)


def _sentry(settings: Settings, post: Post, metrics: Metrics, clock: Clock, place: Place) -> Sentry | None:
    if settings.sentry_dsn is None:
        return None
    from foundation.telemetry.sentry import Sentry

    return Sentry(
        settings.sentry_dsn.get_secret_value(),
        post,
        clock=clock,
        redactor=Redactor(settings.secrets),
        about={
            "release": f"switchyard@{place.version}",
            "environment": settings.environment.value,
            "server_name": place.process,
        },
        lost=metrics.reports_dropped_total.inc,
    )
