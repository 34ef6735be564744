"""What the spans of a run are called, what they say, and how one trace follows a run wherever it is executed.

The place of `run.submit` in its trace is stored with the run's snapshot of its agent. Whoever claims the run,
here or after a crash in another process, opens `run.execute` below it: one trace a run, an execution a claim.

    POST /api/agent/execute ── run.submit ─┬─ run.execute (epoch 1) ── step turn-1 ── model gpt-x
                                           └─ run.execute (epoch 2) ── …
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from foundation.errors import Json
from foundation.telemetry import Span, Tracer

__all__ = ["execution_span", "step_span", "stored_with_trace"]

RUN_ID: Final = "switchyard.run.id"
# A step's first word is its name; what comes after may be a model's or a page's.
FIRST_WORD: Final = re.compile(r"[\w.@:-]{1,64}(?= |\Z)", re.ASCII)
TRACEPARENT: Final = "traceparent"


def stored_with_trace(stored: dict[str, Json], tracer: Tracer) -> dict[str, Json]:
    """A run's snapshot of its agent, with the span around this in it."""
    place = tracer.traceparent
    return stored if place is None else {**stored, TRACEPARENT: place}


# Any: a claim as the database's JSON gives it.
def execution_span(tracer: Tracer, claim: Mapping[str, Any]) -> AbstractContextManager[Span]:
    """The span of one claim of a run."""
    return tracer.span(
        "run.execute",
        parent=claim["agent"].get(TRACEPARENT),
        attributes={
            RUN_ID: claim["run_id"],
            "switchyard.agent.kind": claim["kind"],
            "switchyard.run.epoch": claim["epoch"],
            "switchyard.run.waited_ms": claim["waited_ms"],
        },
    )


def step_span(tracer: Tracer, name: str) -> AbstractContextManager[Span]:
    """The span of a step that is done, not of one that is read."""
    found = FIRST_WORD.match(name)
    return tracer.span(f"step {found[0]}" if found is not None else "step")
