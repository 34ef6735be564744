"""Which status an ended run is answered with."""

from __future__ import annotations

from typing import Any

import pytest

from routing.outcomes import failure_document, failure_status


def ended(code: str, **changes: object) -> dict[str, Any]:
    run = {
        "run_id": "r",
        "agent_id": "a",
        "status": "failed",
        "code": code,
        "error": "why",
        "response": "half",
    }
    return {
        **run,
        "credits_used": 2,
        "output": None,
        "usage": {},
        "artifacts": [],
        "started_ms": 1,
        "ended_ms": 5,
        **changes,
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("agent_error", 502),
        ("poison", 502),
        ("computation_crashed", 502),
        ("a_code_of_the_future", 502),
        ("model_unavailable", 503),
        ("not_configured", 503),
        ("database_unavailable", 503),
        ("deadline_exceeded", 504),
        ("credit_exhausted", 402),
        ("cancelled", 409),
    ],
)
def test_a_run_that_did_not_succeed_is_never_a_success(code: str, status: int) -> None:
    document = failure_document(ended(code), "req-1")

    assert failure_status(ended(code)) == document["status"] == status
    assert document["code"] == code


def test_the_problem_says_what_was_said_and_charged() -> None:
    document = failure_document(ended("agent_error"), "req-1")

    assert (document["response"], document["creditsUsed"], document["runId"]) == ("half", 2, "r")
    assert (document["runStatus"], document["detail"], document["requestId"]) == ("failed", "why", "req-1")
    assert document["executionTime"] == 4
