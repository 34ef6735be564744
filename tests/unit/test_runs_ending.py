from __future__ import annotations

import pytest

from foundation.errors import DatabaseUnavailable, InternalError, Json, ModelUnavailable
from foundation.workers import JobCrashed, JobFailed, JobTimedOut
from heavy_agents.credits import Blame, Price, Usage, charge
from heavy_agents.events import EventTooLarge
from heavy_agents.runs import AgentFailed, Answer, CreditExhausted
from heavy_agents.runs.ending import Ending, Stop, failed, stopped, succeeded

PRICE = Price(flat=2, per_1k_tokens=3, ceiling=10)
USED = Usage(model_calls=1, output_tokens=1_001)


@pytest.mark.parametrize(
    ("error", "code", "blame"),
    [
        (AgentFailed("no table on the page"), "agent_error", Blame.USER),
        (CreditExhausted(), "credit_exhausted", Blame.BUDGET),
        (ExceptionGroup("steps", [CreditExhausted(), OSError()]), "credit_exhausted", Blame.BUDGET),
        (EventTooLarge("note", 70_000), "agent_error", Blame.USER),
        (JobFailed(error_type="ValueError", message="secret", trace=""), "agent_error", Blame.USER),
        (JobCrashed("out of memory"), "computation_crashed", Blame.PLATFORM),
        (JobTimedOut(timeout_s=120), "deadline_exceeded", Blame.PLATFORM),
        (ModelUnavailable("the model does not answer"), "model_unavailable", Blame.PLATFORM),
        (DatabaseUnavailable("away"), "database_unavailable", Blame.PLATFORM),
        (InternalError("oops"), "internal_error", Blame.PLATFORM),
        (ZeroDivisionError("secret"), "agent_error", Blame.USER),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_left_the_agent_decides_code_and_blame(error: Exception, code: str, blame: Blame) -> None:
    ending = failed(error)

    assert (ending.status, ending.code, ending.blame) == ("failed", code, blame)
    assert "secret" not in str(ending.error)


@pytest.mark.parametrize(
    ("stop", "has_own_deadline", "status", "blame"),
    [
        (Stop.CANCEL, False, "cancelled", Blame.USER),
        (Stop.DEADLINE, False, "failed", Blame.PLATFORM),
        (Stop.DEADLINE, True, "failed", Blame.USER),
    ],
)
def test_a_cancelled_run_is_the_users_doing_and_a_late_one_whose_deadline_it_was(
    stop: Stop,
    has_own_deadline: bool,
    status: str,
    blame: Blame,
) -> None:
    ending = stopped(stop, has_own_deadline=has_own_deadline)

    assert (ending.status, ending.blame) == (status, blame)


@pytest.mark.parametrize(
    ("blame", "usage", "credits_due"),
    [
        (Blame.NOBODY, USED, 2 + 4),
        (Blame.NOBODY, Usage(), 2),
        (Blame.NOBODY, Usage(output_tokens=100_000), 10),
        (Blame.BUDGET, Usage(model_calls=1, output_tokens=100_000), 10),
        (Blame.BUDGET, Usage(), 0),
        (Blame.USER, USED, 2 + 4),
        (Blame.USER, Usage(), 0),
        (Blame.PLATFORM, USED, 0),
    ],
)
def test_who_is_to_blame_decides_the_charge(blame: Blame, usage: Usage, credits_due: int) -> None:
    assert charge(blame, PRICE, usage, elapsed_ms=0) == credits_due


@pytest.mark.parametrize(
    ("ending", "is_platforms"),
    [
        (failed(AgentFailed("no table on the page")), False),
        (failed(CreditExhausted()), False),
        (stopped(Stop.CANCEL, has_own_deadline=False), False),
        (stopped(Stop.DEADLINE, has_own_deadline=True), False),
        (stopped(Stop.DEADLINE, has_own_deadline=False), True),
        (failed(ModelUnavailable("the model does not answer")), True),
        (failed(ExceptionGroup("steps", [KeyError("a mistake in the code")])), True),
        (failed(JobFailed(error_type="ValueError", message="", trace="")), True),
    ],
)
def test_a_run_that_could_have_succeeded_is_the_platforms_whoever_pays(
    ending: Ending, is_platforms: bool
) -> None:
    assert ending.is_platforms is is_platforms


def test_an_answer_that_cannot_be_stored_is_the_agents_own_error() -> None:
    assert succeeded(Answer("x" * 1_100_000)).code == "agent_error"
    assert succeeded(Answer("fine", {"a": 1})).status == "succeeded"


@pytest.mark.parametrize("depth", [300, 600, 5000])
def test_an_answer_nested_too_deeply_is_the_agents_own_error(depth: int) -> None:
    output: Json = None
    for _ in range(depth):
        output = [output]

    assert succeeded(Answer("deep", output)).code == "agent_error"


def test_what_an_agent_says_can_be_stored() -> None:
    assert failed(AgentFailed("a\0b\ud800")).error == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_usage_survives_its_json() -> None:
    assert Usage.from_json(USED.to_json()) == USED
