"""Spans as they are put together: parents, names, failures; and nothing where nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from foundation.errors import InsufficientCredits
from foundation.outbound import Outbound
from foundation.telemetry import Tracer
from foundation.telemetry.tracing import Collector, Tracing
from heavy_agents.runs.traced import step_span


class Kept:
    """A tracer, and the spans that have ended."""

    def __init__(self, *, kept: float = 1.0) -> None:
        collector = Collector("http://127.0.0.1:9/", {}, kept, 60.0, {"service.name": "test"})
        self.tracing = Tracing(collector, Outbound(), lost=lambda _: None)
        self.tracer = Tracer(self.tracing)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.tracing.waiting}


async def test_a_task_begun_inside_a_span_is_inside_it_and_its_siblings_are_not() -> None:
    kept = Kept()

    async def work(name: str) -> None:
        with kept.tracer.span(name):
            await asyncio.sleep(0)

    with kept.tracer.span("above"):
        await asyncio.gather(work("one"), work("two"))
    with kept.tracer.span("after"):
        pass

    above = kept.spans["above"].context
    assert above is not None
    for name in ("one", "two"):
        parent = kept.spans[name].parent
        assert parent is not None
        assert parent.span_id == above.span_id
    assert kept.spans["after"].parent is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InsufficientCredits(needed=5, available=1), StatusCode.ERROR, "insufficient_credits"),
        (ValueError("what a user wrote"), StatusCode.ERROR, "ValueError"),
        (ExceptionGroup("what a user wrote", [KeyError("x")]), StatusCode.ERROR, "KeyError"),
        (asyncio.CancelledError(), StatusCode.UNSET, "cancelled"),
    ],
)
def test_an_exception_fails_a_span_by_its_code_and_not_by_its_text(
    error: BaseException, status: StatusCode, code: str
) -> None:
    kept = Kept()

    with pytest.raises(type(error)), kept.tracer.span("work"):
        raise error

    span = kept.spans["work"]
    assert span.status.status_code is status
    assert attributes(span) == {"error.type": code}
    assert "user" not in f"{span.to_json()}"


def test_below_a_trace_that_is_not_kept_nothing_is_and_its_place_is_told_all_the_same() -> None:
    kept = Kept(kept=0.0)

    with kept.tracer.span("above") as above, kept.tracer.span("below") as below:
        place = kept.tracer.traceparent
        above.set("a", 1)

    assert kept.spans == {}
    assert (above.trace_id, below.trace_id) == (None, None)
    assert place is not None
    assert place.endswith("-00")


def test_a_tracer_without_a_recorder_records_nothing_and_lets_errors_pass() -> None:
    tracer = Tracer()

    with pytest.raises(KeyError), tracer.span("work"):
        raise KeyError

    assert (tracer.records, tracer.traceparent, tracer.current.trace_id) == (False, None, None)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("turn-1", "step turn-1"),
        ("turn-1.2 tool_a_model_has_made_up", "step turn-1.2"),
        ("@history", "step @history"),
        ("what?/a/user/wrote", "step"),
        ("x" * 65, "step"),
        ("ünïcode", "step"),
        ("", "step"),
    ],
)
def test_of_a_steps_name_the_first_word_is_told_if_it_is_one(step: str, name: str) -> None:
    kept = Kept()

    with step_span(kept.tracer, step):
        pass

    assert list(kept.spans) == [name]


def test_a_value_is_cut_before_it_is_too_long() -> None:
    kept = Kept()

    with kept.tracer.span("work") as span:
        span.set("long", "x" * 10_000)

    assert attributes(kept.spans["work"]) == {"long": "x" * 256}


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})
