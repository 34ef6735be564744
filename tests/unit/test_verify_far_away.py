"""What the check of a deployment makes of a long way to it, without one: no run, no server."""

from __future__ import annotations

import time

import pytest

from scripts.verify.deployment import Deployment, Failed, Run
from scripts.verify.following import streamed
from scripts.verify.standing import tls
from scripts.verify.stream import Event, Reading
from scripts.verify.web import Site

# An address of this machine that nothing listens at.
ALONE = Site("https", "127.9.9.9", 443, "")


def run_of(took_ms: int, *, late_s: float, spread_s: float) -> Run:
    """Two events so far apart, of a run whose stream was there so late."""
    events = [
        Event(1, {"type": "started", "seq": 1}, at_s=0.0),
        Event(2, {"type": "done", "seq": 2}, at_s=spread_s),
    ]
    live = Reading(200, "text/event-stream", events)
    return Run("a-run", {}, "a-key", live, {"executionTime": took_ms}, late_s)


def test_a_run_that_is_over_before_its_stream_is_there_says_nothing_of_what_is_between() -> None:
    assert "too short to tell" in streamed(run_of(1500, late_s=1.2, spread_s=0.0))


def test_events_that_come_together_at_the_end_of_what_was_watched_were_collected() -> None:
    with pytest.raises(Failed, match="collects the stream"):
        streamed(run_of(1500, late_s=0.3, spread_s=0.1))


def test_events_that_come_as_they_happen_are_told_as_such() -> None:
    assert streamed(run_of(1500, late_s=0.3, spread_s=1.2)) == "2 events, ids 1 to 2, over 1200 ms"


def test_where_nothing_answers_without_tls_nothing_is_wrong() -> None:
    deployment = Deployment(
        site=ALONE,
        token=None,
        metrics_token=None,
        agent=None,
        agent_input=None,
        wait_s=1.0,
        deadline_s=time.monotonic() + 10,
    )

    assert tls(deployment) == "the certificate holds; nothing answers over http"
