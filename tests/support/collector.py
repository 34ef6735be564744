"""A collector of traces for tests: a real web server that keeps what it is sent in OTLP, and decodes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.web import Web, serve_web

__all__ = ["PATH", "Collector", "Seen", "serve_collector"]

PATH = "/v1/traces"
Value = object


@dataclass(frozen=True)
class Seen:
    """A span as it arrived; `failed` is the description of an error status, None without one."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Value]
    events: list[tuple[str, dict[str, Value]]]
    failed: str | None
    resource: dict[str, Value]
    lasted_s: float


class Collector:
    def __init__(self, web: Web) -> None:
        self.web = web
        self.url = web.url
        web.reply(PATH)

    @property
    def settings(self) -> dict[str, object]:
        """What sends the spans of a server here, soon."""
        return {"otel_exporter_otlp_endpoint": self.url, "otel_bsp_schedule_delay": 100}

    @property
    def bodies(self) -> bytes:
        """All that has arrived, as it was sent."""
        return b"".join(asked.body for asked in self.web.asked_for(PATH))

    @property
    def spans(self) -> list[Seen]:
        return [span for asked in self.web.asked_for(PATH) for span in _decoded(asked.body)]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def named_in(self, trace_id: str, name: str) -> list[Seen]:
        return [span for span in self.named(name) if span.trace_id == trace_id]

    async def until(self, holds: Callable[[list[Seen]], bool], *, within_s: float = 30.0) -> list[Seen]:
        """All spans, once `holds` of them."""
        async with asyncio.timeout(within_s):
            while not holds(spans := self.spans):
                await asyncio.sleep(0.02)
        return spans

    async def trace_of(self, run_id: str, *, within_s: float = 30.0) -> list[Seen]:
        """The whole trace of a run that has ended, once its execution and the request have arrived."""

        def is_whole(spans: Sequence[Seen]) -> bool:
            trace = _trace(spans, run_id)
            ids = {span.span_id for span in trace}
            has_ended = any("switchyard.run.status" in span.attributes for span in trace)
            return has_ended and all(not span.parent_id or span.parent_id in ids for span in trace)

        return _trace(await self.until(is_whole, within_s=within_s), run_id)


@asynccontextmanager
async def serve_collector() -> AsyncIterator[Collector]:
    async with serve_web() as web:
        yield Collector(web)


def _trace(spans: Sequence[Seen], run_id: str) -> list[Seen]:
    traces = {span.trace_id for span in spans if span.attributes.get("switchyard.run.id") == run_id}
    return [span for span in spans if span.trace_id in traces]


def _decoded(body: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        _seen(span, _values(resource.resource.attributes))
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _seen(span: Span, resource: dict[str, Value]) -> Seen:
    return Seen(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_values(span.attributes),
        events=[(event.name, _values(event.attributes)) for event in span.events],
        failed=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        resource=resource,
        lasted_s=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    if value.WhichOneof("value") == "array_value":
        return [_value(each) for each in value.array_value.values]
    found: Value = getattr(value, value.WhichOneof("value") or "string_value")
    return found
