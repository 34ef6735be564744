"""Where a run goes: every case of the table that both languages read, and the laws no case may break."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foundation.errors
from foundation import origins
from foundation.errors import HeavyError
from routing import decision
from routing.decision import (
    Decider,
    Decision,
    Edge,
    FoundAgent,
    Heavy,
    LimitReached,
    PlanLimit,
    Question,
    Refuse,
    Remote,
    Why,
    decide,
    read_origin,
)

# Any: JSON documents of the table.
Document = dict[str, Any]

TABLE: Document = orjson.loads((Path(__file__).parents[1] / "golden" / "routing.json").read_bytes())
CASES: list[Document] = TABLE["cases"]
ERRORS = [getattr(foundation.errors, name) for name in foundation.errors.__all__]
CODES = {each.code for each in ERRORS if isinstance(each, type) and issubclass(each, HeavyError)}


def question(given_: Document) -> Question:
    agent, limit = given_["agent"], given_["limit"]
    return Question(
        decider=Decider(given_["decider"]),
        available_credits=given_["availableCredits"],
        needed_credits=given_["neededCredits"],
        limit=limit if isinstance(limit, str) else _reached(limit),  # type: ignore[arg-type]
        agent=None if agent is None else _agent(agent),
        allowed_backends=tuple(given_["allowedBackends"]),
        has_backend=given_["hasBackend"],
    )


def told(decided: Decision) -> Document:
    """What was decided, as the table says it."""
    match decided:
        case Remote(origin, why):
            return {"to": "remote", "why": why, "origin": origin}
        case Refuse(error, why):
            said = {"status": error.status, "code": error.code, "reason": error.detail}
            return {"to": "refuse", "why": why, **said, "facts": error.facts()}
        case Edge(why) | Heavy(why):
            return {"to": type(decided).__name__.lower(), "why": why}


def _agent(row: Document) -> FoundAgent:
    return FoundAgent(
        is_published=row["isPublished"],
        is_owned=row["isOwned"],
        is_heavy=row["isHeavy"],
        railway_url=row["railwayUrl"],
    )


def _reached(limit: Document) -> LimitReached:
    return LimitReached(limit["retryAfterS"], limit["policy"], limit["quota"])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_every_case_of_the_table_is_decided_as_it_says(case: Document) -> None:
    assert told(decide(question(case["given"]))) == case["expected"]


def test_the_table_has_every_reason_and_no_case_twice() -> None:
    reasons = {case["expected"]["why"] for case in CASES}

    assert reasons == {why.value for why in Why}
    assert len({orjson.dumps(case["given"]) for case in CASES}) == len(CASES)
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_the_table_and_the_code_say_the_same_order() -> None:
    written = re.findall(r"^ {4}(\d) {2}(\d{3}) ", decision.__doc__ or "", re.MULTILINE)

    said = [(str(each["step"]), str(each["status"])) for each in TABLE["order"] if each["step"] <= 5]
    assert written == said
    assert {each["code"] for each in TABLE["order"]} <= CODES
    refused = {case["expected"]["why"] for case in CASES if case["expected"]["to"] == "refuse"}
    assert {why for each in TABLE["order"] for why in each["why"]} == refused


NAMES = st.sampled_from(["one.example", "ONE.example", "one.example.", "two.example", "evil.example", "x"])
PORTS = st.sampled_from(["", ":443", ":8443", ":0", ":", ":x"])
ENDS = st.sampled_from(["", "/", "/api", "?", "#", "@evil.example", "\\", "\n", "."])
ADDRESSES = st.one_of(
    st.builds(
        "{}{}{}{}".format, st.sampled_from(["https://", "HTTPS://", "http://", "//", ""]), NAMES, PORTS, ENDS
    ),
    st.from_regex(origins.ORIGIN, fullmatch=True),
    st.text(max_size=40),
)
AGENTS = st.builds(
    FoundAgent,
    is_published=st.booleans(),
    is_owned=st.booleans(),
    is_heavy=st.booleans(),
    railway_url=st.none() | ADDRESSES,
)
LIMITS: st.SearchStrategy[PlanLimit] = st.one_of(
    st.sampled_from(get_args(get_args(PlanLimit)[0])),
    st.builds(LimitReached, retry_after_s=st.integers(), policy=st.text(), quota=st.integers()),
)
QUESTIONS = st.builds(
    Question,
    decider=st.sampled_from(Decider),
    available_credits=st.none() | st.integers(),
    needed_credits=st.integers(-1, 3),
    limit=LIMITS,
    agent=st.none() | AGENTS,
    allowed_backends=st.lists(ADDRESSES, max_size=4).map(tuple),
    has_backend=st.booleans(),
)
# Whoever asks has credits, room and an agent of their own, so that backends are what is decided.
ALLOWED = st.builds(
    Question,
    decider=st.sampled_from(Decider),
    available_credits=st.just(1),
    limit=st.just("within"),
    agent=st.builds(
        FoundAgent,
        is_published=st.just(True),
        is_owned=st.booleans(),
        is_heavy=st.booleans(),
        railway_url=st.none() | ADDRESSES,
    ),
    allowed_backends=st.lists(ADDRESSES, max_size=4).map(tuple),
    has_backend=st.booleans(),
)


@given(QUESTIONS)
def test_every_question_has_an_answer_and_a_refusal_a_code_of_the_error_table(asked: Question) -> None:
    decided = decide(asked)

    assert decided.why in Why
    if isinstance(decided, Refuse):
        assert decided.error.code in CODES - {HeavyError.code}
        assert decided.error.detail
        assert decided.error.headers() is not None


@given(ALLOWED)
def test_a_backend_off_the_allow_list_is_never_used(asked: Question) -> None:
    assert asked.agent is not None
    decided = decide(asked)

    if isinstance(decided, Remote):
        named, listed = asked.agent.railway_url, asked.allowed_backends
        assert decided.origin == read_origin(named or "")
        assert decided.origin in {read_origin(each) for each in listed}
        assert re.fullmatch(r"https://[a-z0-9.-]+(:[0-9]+)?", decided.origin)


@given(ADDRESSES)
def test_an_origin_is_its_own_spelling(address: str) -> None:
    origin = read_origin(address)

    assert origin is None or read_origin(origin) == origin


@given(QUESTIONS | ALLOWED)
def test_a_light_agent_never_becomes_heavy(asked: Question) -> None:
    decided = decide(asked)

    if asked.agent is not None and not asked.agent.is_heavy:
        assert isinstance(decided, Edge | Refuse)
    else:
        assert not isinstance(decided, Edge)


@given(QUESTIONS)
def test_nothing_runs_without_credits_room_and_a_visible_agent(asked: Question) -> None:
    decided = decide(asked)

    if not isinstance(decided, Refuse):
        assert asked.needed_credits < 1 or (asked.available_credits or 0) >= asked.needed_credits
        assert asked.limit == "within"
        assert asked.agent is not None
        assert asked.agent.is_published or asked.agent.is_owned
