"""What is counted of a run that ends, by whoever ends it: its worker, a cancel while it waited, the reaper.

Each end is told to one process, and that one counts it. A run that ends with its user's account is counted by
nobody: a trigger of the database ends it.

A failure is the platform's when the run could have been expected to succeed: the model, the database or the
worker failed, or the agent stopped with an error nobody meant. What an agent says on purpose, a deadline its
owner set and credits that are used up are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from foundation.telemetry import Metrics

__all__ = ["Ends"]

STATUSES: Final = ("succeeded", "failed", "cancelled")
REAPED: Final = ("requeued", "poison", "cancelled", "deadline_exceeded")
# Of a run of another release, whose kind this one does not have.
OTHER: Final = "other"


class Ends:
    def __init__(self, metrics: Metrics, kinds: Iterable[str]) -> None:
        self._metrics = metrics
        self._kinds = frozenset(kinds)
        # A series that appears with its first failure shows no increase.
        for outcome in REAPED:
            metrics.recovered_total.labels(reason=outcome)
        for kind in self._kinds:
            metrics.platform_failures_total.labels(kind=kind)
            for status in STATUSES:
                metrics.runs_total.labels(kind=kind, status=status)

    # Any: `switchyard.end_json`, or nothing from a database that is older than this release.
    def count(self, end: Mapping[str, Any] | None, *, is_platforms: bool) -> None:
        """
        Args:
            end: None counts nothing.
            is_platforms: whose doing it was, should it have failed.
        """
        if end is None:
            return
        kind = end["kind"] if end["kind"] in self._kinds else OTHER
        self._metrics.runs_total.labels(kind=kind, status=end["status"]).inc()
        self._metrics.run_seconds.labels(kind=kind).observe(end["lasted_ms"] / 1000)
        if end["status"] == "failed":
            self._metrics.failures_total.labels(code=end["code"]).inc()
            if is_platforms:
                self._metrics.platform_failures_total.labels(kind=kind).inc()
        if end["status"] == "cancelled" and end["cancel_ms"] is not None:
            self._metrics.cancel_seconds.observe(max(end["cancel_ms"], 0) / 1000)
        self._count_credits(hold=end["hold_credits"], charged=end["charged_credits"])
        self._metrics.lost_calls_total.inc(end.get("lost_calls", 0))

    # Any: a row of `switchyard_runs_reap`.
    def count_reaped(self, row: Mapping[str, Any]) -> None:
        """What has no worker, or came to none in time, is for the platform to answer for."""
        self._metrics.recovered_total.labels(reason=row["outcome"]).inc()
        self.count(row.get("end"), is_platforms=True)

    def _count_credits(self, *, hold: int, charged: int) -> None:
        self._metrics.credits_total.labels(outcome="settled").inc(charged)
        self._metrics.credits_total.labels(outcome="released").inc(max(hold - charged, 0))
