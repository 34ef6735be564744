"""The recorder of spans: those of the OpenTelemetry SDK, sent to a collector in OTLP.

One provider a process, and not the global one: nothing but our own code opens spans here. The SDK's limits,
sampler, resource and identities are given to it, so that no variable of the environment changes them.

Loaded only where a collector is configured: the SDK costs a quarter of a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

from foundation.telemetry.courier import Courier, Freight, Post
from foundation.telemetry.failing import CANCELLED, failure_of
from foundation.telemetry.traceparent import Traceparent, accepted, read_traceparent
from foundation.telemetry.tracer import NOTHING, Attribute, Attributes, Kind, Span

__all__ = ["Collector", "Tracing"]

CAPACITY: Final = 4096
BATCH: Final = 512
MAX_VALUE_CHARS: Final = 256
LIMITS: Final = {
    "max_attributes": 64,
    "max_events": 64,
    "max_links": 8,
    "max_span_attributes": 64,
    "max_event_attributes": 16,
    "max_link_attributes": 16,
    "max_attribute_length": MAX_VALUE_CHARS,
    "max_span_attribute_length": MAX_VALUE_CHARS,
}
KINDS: Final = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
}


@dataclass(frozen=True, slots=True)
class Collector:
    """Who takes the spans, and what they say of this process.

    Attributes:
        kept: the part of traces that is recorded, 0 to 1.
        every_s: how long a span may wait for others.
    """

    url: str
    headers: Mapping[str, str]
    kept: float
    every_s: float
    resource: Mapping[str, str]


class Tracing:
    """A recorder, and the service that sends what it keeps."""

    def __init__(self, collector: Collector, post: Post, *, lost: Callable[[int], None]) -> None:
        """`lost`: is told how many spans will never arrive."""
        freight: Freight[ReadableSpan] = Freight(
            name="spans",
            url=collector.url,
            headers={**collector.headers, "content-type": "application/x-protobuf"},
            pack=_pack,
            capacity=CAPACITY,
            batch=BATCH,
            every_s=collector.every_s,
            lost=lost,
        )
        self._courier = Courier(freight, post)
        self._kept = collector.kept
        self._current: ContextVar[_Open | None] = ContextVar("current_span", default=None)
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(collector.kept)),
            resource=Resource(dict(collector.resource)),
            shutdown_on_exit=False,
            span_limits=SpanLimits(**LIMITS),
        )
        provider.add_span_processor(_ToCourier(self._courier))
        self._sdk = provider.get_tracer("switchyard", collector.resource.get("service.version", ""))

    @property
    def waiting(self) -> tuple[ReadableSpan, ...]:
        """What has ended and not left yet."""
        return self._courier.waiting

    async def start(self) -> None:
        await self._courier.start()

    async def drain(self) -> None:
        await self._courier.drain()

    async def stop(self) -> None:
        await self._courier.stop()

    def span(
        self, name: str, *, kind: Kind, parent: str | None, attributes: Attributes | None
    ) -> AbstractContextManager[Span]:
        given = read_traceparent(parent) if parent is not None else None
        around = self._current.get() if given is None else None
        if around is not None and not around.is_recorded:
            return NOTHING
        span = self._sdk.start_span(
            name,
            context=_context(given, around),
            kind=KINDS[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        return _Open(span, self._current)

    @property
    def current(self) -> Span:
        return self._current.get() or NOTHING

    @property
    def traceparent(self) -> str | None:
        around = self._current.get()
        return None if around is None else str(around.named)

    def accept(self, given: Sequence[str], *, is_trusted: bool) -> str | None:
        is_drawn = random.random() < self._kept  # noqa: S311 - no secret
        parent = accepted(given, is_trusted=is_trusted, is_drawn=is_drawn)
        return None if parent is None else str(parent)


class _Open(Span, AbstractContextManager[Span]):
    """A span of the SDK, recorded or not, while its `with` lasts."""

    def __init__(self, span: otel.Span, current: ContextVar[_Open | None]) -> None:
        self.is_recorded = span.is_recording()
        self._span = span
        self._current = current
        self._token: Token[_Open | None] | None = None

    @property
    def named(self) -> Traceparent:
        context = self._span.get_span_context()
        return Traceparent(context.trace_id, context.span_id, context.trace_flags.sampled)

    @property
    def trace_id(self) -> str | None:
        return f"{self._span.get_span_context().trace_id:032x}" if self.is_recorded else None

    def set(self, name: str, value: Attribute) -> None:
        if self._span.is_recording():
            self._span.set_attribute(name, value)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        if self._span.is_recording():
            self._span.add_event(name, attributes)

    def rename(self, name: str) -> None:
        if self._span.is_recording():
            self._span.update_name(name)

    def fail(self, code: str) -> None:
        if self._span.is_recording():
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> Span:
        self._token = self._current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            self._current.reset(self._token)
        if error is not None and (code := failure_of(error)) == CANCELLED:
            # Being told to stop is no failure of the work.
            self.set("error.type", code)
        elif error is not None:
            self.fail(failure_of(error))
        self.end()


class _ToCourier(SpanProcessor):
    def __init__(self, courier: Courier[ReadableSpan]) -> None:
        self._courier = courier

    def on_end(self, span: ReadableSpan) -> None:
        self._courier.put(span)


def _pack(spans: Sequence[ReadableSpan]) -> bytes:
    packed: bytes = encode_spans(spans).SerializeToString()
    return packed


def _context(given: Traceparent | None, around: _Open | None) -> Context:
    """What the SDK finds the parent in; an empty one, so that nothing is found by accident."""
    named = around.named if around is not None else given
    if named is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if named.is_sampled else TraceFlags.DEFAULT)
    parent = SpanContext(named.trace_id, named.span_id, is_remote=around is None, trace_flags=flags)
    return otel.set_span_in_context(otel.NonRecordingSpan(parent), Context())
