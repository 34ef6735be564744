"""What is counted and timed: one object with one attribute a metric, under its name on the wire.

Each `Metrics` has a registry of its own, so that two apps in one process do not share numbers. A label never
holds a user, a run or a raw path: each of its values is a series kept for ever.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from foundation.errors import Json
from foundation.telemetry.summary import summarise

__all__ = ["Metrics"]

# Seconds. Each set spans what is usual for what it times, with the promises of the design as bounds.
QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
QUEUE_S = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
FIRST_CHUNK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RUN_S = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
COMPUTE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._make_run_metrics()
        self._make_backlog_metrics()
        self._make_model_metrics()
        self._make_light_metrics()
        self._make_backend_metrics()
        self._make_money_metrics()
        self._make_server_metrics()
        self._make_process_metrics()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type, in the format the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def summary(self) -> dict[str, Json]:
        """The same numbers, summed up for people."""
        return summarise(self.registry.collect())

    def _make_run_metrics(self) -> None:
        self.runs_total = self._counter("heavy_agent_runs_total", "Runs that ended.", "kind", "status")
        self.run_seconds = self._histogram(
            "heavy_agent_run_seconds", "Submit to end of a run.", RUN_S, "kind"
        )
        self.queue_seconds = self._histogram("heavy_agent_queue_seconds", "Submit to first claim.", QUEUE_S)
        self.first_chunk_seconds = self._histogram(
            "heavy_agent_first_chunk_seconds", "First claim to the first chunk.", FIRST_CHUNK_S
        )
        self.active_runs = self._gauge("heavy_agent_active_runs", "Runs executing in this process.", "kind")
        self.active_agents_count = self._gauge("active_agents_count", "Agents with a run executing here.")
        self.failures_total = self._counter(
            "heavy_agent_failures_total", "Runs that failed, by the code they failed with.", "code"
        )
        self.platform_failures_total = self._counter(
            "heavy_agent_platform_failures_total", "Runs that failed by no doing of their user.", "kind"
        )
        self.events_total = self._counter("heavy_agent_events_total", "Events made durable.")
        self.flush_seconds = self._histogram(
            "heavy_agent_flush_seconds", "One group commit of events.", QUICK_S
        )
        self.readers = self._gauge("heavy_agent_readers", "Clients reading runs.", "transport")
        self.resumes_total = self._counter("heavy_agent_resumes_total", "Readers that came back.", "outcome")
        self.recovered_total = self._counter(
            "heavy_agent_recovered_total", "Runs taken from a worker that lost them.", "reason"
        )
        self.drain_overruns_total = self._counter(
            "heavy_agent_drain_overruns_total",
            "Processes found gone that had not left within DRAIN_SECONDS; counted by whoever finds one.",
        )
        self.cancel_seconds = self._histogram(
            "heavy_agent_cancel_seconds", "Cancel asked to run ended.", QUICK_S
        )
        self.forecast_seconds = self._histogram(
            "forecast_seconds", "Computing time of a forecast.", COMPUTE_S, "method"
        )

    def _make_backlog_metrics(self) -> None:
        """Of all processes together, so every one tells the same."""
        self.queued_runs = self._gauge(
            "heavy_agent_queued_runs", "Runs that wait, 10000 for as many or more; NaN while unknown."
        )
        self.oldest_queued_seconds = self._gauge(
            "heavy_agent_oldest_queued_seconds", "How long the first of them has waited; NaN while unknown."
        )
        self.stuck_leases = self._gauge(
            "heavy_agent_stuck_leases", "Runs whose lease ended a minute ago; NaN while unknown."
        )

    def _make_model_metrics(self) -> None:
        self.model_tokens_total = self._counter(
            "heavy_agent_model_tokens_total", "Tokens sent to and had from models.", "model", "kind"
        )
        self.model_calls_total = self._counter(
            "heavy_agent_model_calls_total", "Calls of a model, by how they ended.", "outcome"
        )
        self.model_first_token_seconds = self._histogram(
            "heavy_agent_model_first_token_seconds", "Asking a model to its first token.", FIRST_CHUNK_S
        )

    def _make_light_metrics(self) -> None:
        self.light_answers_total = self._counter(
            "heavy_agent_light_answers_total",
            "Light answers that ended, by how: answered, or the code of what went wrong.",
            "outcome",
        )

    def _make_backend_metrics(self) -> None:
        """Of other backends that runs are forwarded to, by the origins that the operator has listed."""
        self.backend_calls_total = self._counter(
            "heavy_agent_backend_calls_total", "Requests to other backends.", "backend", "outcome"
        )
        self.backend_open = self._gauge(
            "heavy_agent_backend_open", "1 while another backend is left alone because it fails.", "backend"
        )

    def _make_money_metrics(self) -> None:
        self.credits_total = self._counter(
            "heavy_agent_credits_total", "Credits, by what became of them.", "outcome"
        )
        self.lost_calls_total = self._counter(
            "heavy_agent_lost_calls_total", "Calls cut by a crash and paid by the platform."
        )

    def _make_process_metrics(self) -> None:
        self.ready = self._gauge("heavy_agent_ready", "1 while this process can serve.")
        self.draining_seconds = self._gauge(
            "heavy_agent_draining_seconds",
            "For how long this process has been handing over what it has; 0 before.",
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop was.", QUICK_S
        )
        self.event_loop_tasks = self._gauge(
            "event_loop_tasks", "Tasks of the event loop that have not ended."
        )

    def _make_server_metrics(self) -> None:
        self.http_requests_total = self._counter(
            "http_requests_total", "Requests answered.", "route", "method", "status"
        )
        self.http_request_seconds = self._histogram(
            "http_request_seconds", "Time to the first byte of an answer.", REQUEST_S, "route"
        )
        self.limits_alone = self._gauge(
            "heavy_agent_limits_alone", "1 while requests are counted without Redis, though there is one."
        )
        self.hints_alone = self._gauge(
            "heavy_agent_hints_alone",
            "1 while what replicas tell each other does not arrive, though it should.",
        )
        self.hints_dropped_total = self._counter(
            "heavy_agent_hints_dropped_total", "Hints for other replicas that were not sent."
        )
        self.spans_dropped_total = self._counter(
            "heavy_agent_spans_dropped_total", "Spans that no collector has taken."
        )
        self.reports_dropped_total = self._counter(
            "heavy_agent_reports_dropped_total", "Reports of faults that Sentry has not taken."
        )
        self.socket_messages_total = self._counter(
            "heavy_agent_socket_messages_total",
            "Messages on sockets, by the status a request would have got.",
            "type",
            "status",
        )
        self.interrupted_total = self._counter(
            "heavy_agent_interrupted_total", "Readers whose stream broke off, by our fault.", "transport"
        )
        for transport in ("sse", "ws"):
            self.interrupted_total.labels(transport=transport)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets_s: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, says, labels, buckets=buckets_s, registry=self.registry)
