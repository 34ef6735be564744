"""The metrics carry their promised names, render in both formats and sum up."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from foundation.telemetry import Metrics
from foundation.telemetry.quantile import quantile

PROMISED = {
    "heavy_agent_runs_total": {"kind", "status"},
    "heavy_agent_run_seconds": {"kind"},
    "heavy_agent_queue_seconds": set(),
    "heavy_agent_first_chunk_seconds": set(),
    "heavy_agent_active_runs": {"kind"},
    "active_agents_count": set(),
    "heavy_agent_events_total": set(),
    "heavy_agent_flush_seconds": set(),
    "heavy_agent_readers": {"transport"},
    "heavy_agent_resumes_total": {"outcome"},
    "heavy_agent_recovered_total": {"reason"},
    "heavy_agent_credits_total": {"outcome"},
    "heavy_agent_cancel_seconds": set(),
    "http_requests_total": {"route", "method", "status"},
    "http_request_seconds": {"route"},
    "event_loop_lag_seconds": set(),
    "event_loop_tasks": set(),
    "heavy_agent_lost_calls_total": set(),
    "heavy_agent_limits_alone": set(),
    "heavy_agent_hints_alone": set(),
    "heavy_agent_hints_dropped_total": set(),
    "heavy_agent_failures_total": {"code"},
    "heavy_agent_platform_failures_total": {"kind"},
    "heavy_agent_queued_runs": set(),
    "heavy_agent_oldest_queued_seconds": set(),
    "heavy_agent_stuck_leases": set(),
    "heavy_agent_ready": set(),
    "heavy_agent_draining_seconds": set(),
    "heavy_agent_drain_overruns_total": set(),
    "heavy_agent_socket_messages_total": {"type", "status"},
    "heavy_agent_interrupted_total": {"transport"},
    "forecast_seconds": {"method"},
}
ATTRIBUTES = {name.removeprefix("heavy_agent_"): name for name in PROMISED}


def test_every_promised_metric_is_an_attribute_under_its_name_with_its_labels() -> None:
    metrics = Metrics()

    for attribute, name in ATTRIBUTES.items():
        metric = getattr(metrics, attribute)
        described = {family.name for family in metric.describe()}
        assert described == {name.removesuffix("_total")}
        assert set(metric._labelnames) == PROMISED[name]


def test_two_sets_of_metrics_share_nothing() -> None:
    one, other = Metrics(), Metrics()

    one.events_total.inc(3)

    assert b"heavy_agent_events_total 3.0" in one.render()[0]
    assert b"heavy_agent_events_total 0.0" in other.render()[0]


def test_the_text_format_parses_and_tells_of_the_process() -> None:
    body, content_type = Metrics().render("text/html, */*")

    families = parser.text_string_to_metric_families(body.decode())
    names = {family.name for family in families}
    assert content_type.startswith("text/plain")
    assert {"process_resident_memory_bytes", "python_info", "event_loop_lag_seconds"} <= names


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    body, content_type = Metrics().render("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    # This parser of the library carries no types.
    assert list(openmetrics_parser.text_string_to_metric_families(body.decode()))  # type: ignore[no-untyped-call]


def test_the_summary_of_nothing_is_zeros_and_nulls() -> None:
    assert Metrics().summary() == {
        "requests": {"total": 0, "errors": 0, "errorRate": 0.0, "byRoute": {}},
        "latencyMs": {"p50": None, "p95": None, "p99": None},
        "activeRuns": 0,
        "runs": {},
    }


def test_the_summary_adds_up_requests_runs_and_latencies() -> None:
    metrics = Metrics()
    metrics.http_requests_total.labels("/a", "GET", "200").inc(6)
    metrics.http_requests_total.labels("/a", "POST", "404").inc(1)
    metrics.http_requests_total.labels("/b", "GET", "503").inc(1)
    for seconds in (0.002, 0.002, 0.02, 0.2):
        metrics.http_request_seconds.labels("/a").observe(seconds)
        metrics.http_request_seconds.labels("/b").observe(seconds)
    metrics.active_runs.labels("chat").set(2)
    metrics.active_runs.labels("forecast").set(1)
    metrics.runs_total.labels("chat", "succeeded").inc(5)
    metrics.runs_total.labels("forecast", "succeeded").inc(1)
    metrics.runs_total.labels("chat", "failed").inc(1)

    summary = metrics.summary()

    assert summary["requests"] == {
        "total": 8,
        "errors": 1,
        "errorRate": 0.125,
        "byRoute": {"/a": {"total": 7, "errors": 0}, "/b": {"total": 1, "errors": 1}},
    }
    assert summary["latencyMs"] == {"p50": 2.5, "p95": 220.0, "p99": 244.0}
    assert summary["activeRuns"] == 3
    assert summary["runs"] == {"failed": 1, "succeeded": 6}


def test_a_quantile_without_observations_is_none() -> None:
    assert quantile(0.5, []) is None
    assert quantile(0.5, [(1.0, 0), (math.inf, 0)]) is None


def test_a_value_beyond_the_last_bound_counts_as_that_bound() -> None:
    assert quantile(0.99, [(1.0, 0), (2.0, 0), (math.inf, 5)]) == 2.0


@pytest.mark.parametrize(("q", "expected"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 2.0), (1.0, 3.0)])
def test_a_quantile_lies_within_its_bucket(q: float, expected: float) -> None:
    assert quantile(q, [(1.0, 2), (3.0, 4), (math.inf, 4)]) == expected


@given(st.lists(st.floats(0, 9.99), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_off_by_no_more_than_its_bucket(values: list[float], q: float) -> None:
    bounds = [float(bound) for bound in range(1, 11)]
    buckets = [(bound, float(sum(value <= bound for value in values))) for bound in bounds]

    estimate = quantile(q, [*buckets, (math.inf, float(len(values)))])

    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    assert estimate is not None
    assert abs(estimate - exact) <= 1 + 1e-9


@given(st.lists(st.floats(0, 20), min_size=2))
def test_quantiles_never_fall(values: list[float]) -> None:
    buckets = [(float(bound), float(sum(value <= bound for value in values))) for bound in range(1, 11)]
    buckets.append((math.inf, float(len(values))))

    estimates = [quantile(q, buckets) or 0.0 for q in (0.1, 0.5, 0.9, 0.99)]

    assert estimates == sorted(estimates)
    assert statistics.fmean(estimates) <= 10
