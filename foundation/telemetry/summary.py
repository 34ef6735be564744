"""The metrics in a few numbers a person can read: how many requests, how many failed, how fast, what runs.

Pure: takes what a registry collects. An error is an answer of 500 or above; what a client did wrong is not.
Latencies are estimated from histogram buckets, over all routes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.samples import Sample

from foundation.errors import Json
from foundation.telemetry.quantile import quantile

__all__ = ["summarise"]

FIRST_ERROR_STATUS = 500
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def summarise(families: Iterable[Metric]) -> dict[str, Json]:
    """`{requests, latencyMs, activeRuns, runs}`; a latency is null before the first request."""
    samples = {family.name: family.samples for family in families}
    return {
        "requests": _requests(samples.get("http_requests", [])),
        "latencyMs": _latencies(samples.get("http_request_seconds", [])),
        "activeRuns": int(sum(sample.value for sample in samples.get("heavy_agent_active_runs", []))),
        "runs": _runs(samples.get("heavy_agent_runs", [])),
    }


def _requests(samples: Iterable[Sample]) -> Json:
    counted = [sample for sample in samples if sample.name.endswith("_total")]
    failed = [sample for sample in counted if int(sample.labels["status"]) >= FIRST_ERROR_STATUS]
    totals, errors = _add_up(counted, label="route"), _add_up(failed, label="route")
    total, error_count = sum(totals.values()), sum(errors.values())
    return {
        "total": total,
        "errors": error_count,
        "errorRate": error_count / total if total else 0.0,
        "byRoute": {route: {"total": totals[route], "errors": errors[route]} for route in sorted(totals)},
    }


def _runs(samples: Iterable[Sample]) -> Json:
    by_status = _add_up((each for each in samples if each.name.endswith("_total")), label="status")
    return {status: by_status[status] for status in sorted(by_status)}


def _latencies(samples: Iterable[Sample]) -> Json:
    buckets: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        if sample.name.endswith("_bucket"):
            buckets[float(sample.labels["le"])] += sample.value
    rising = sorted(buckets.items())
    return {name: _milliseconds(quantile(q, rising)) for name, q in QUANTILES.items()}


def _add_up(samples: Iterable[Sample], *, label: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    for sample in samples:
        totals[sample.labels[label]] += int(sample.value)
    return totals


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
