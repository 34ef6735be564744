from __future__ import annotations

import json

import pytest

from foundation import errors
from foundation.db.mapping import Meaning, error_of, meaning_of, meaning_of_status
from foundation.errors import (
    DatabaseUnavailable,
    Gap,
    HeavyError,
    InsufficientCredits,
    InternalError,
    InvalidBody,
    InvalidRequest,
    KeyConflict,
    RateLimited,
    RunNotFound,
    TooLarge,
)

FACTS = {
    "insufficient_credits": {"needed": 5, "available": 2},
    "rate_limited": {"retryAfterS": 7, "policy": "15 a minute", "quota": 15},
    "gap": {"oldest": 3, "latest": 9},
    "too_large": {"limitBytes": 1024},
    "invalid_body": {"field": "input", "detail": "is too deep"},
}


def leaves() -> list[type[HeavyError]]:
    named = [getattr(errors, name) for name in errors.__all__]
    return [
        each
        for each in named
        if isinstance(each, type) and issubclass(each, HeavyError) and each is not HeavyError
    ]


@pytest.mark.parametrize("leaf", leaves())
def test_every_error_of_the_tree_can_be_refused_with_by_its_code(leaf: type[HeavyError]) -> None:
    detail = json.dumps(FACTS[leaf.code]) if leaf.code in FACTS else None

    error = error_of(f"PT{leaf.status}", message=leaf.code, detail=detail)

    assert type(error) is leaf
    assert error.detail


def test_facts_fill_the_error_they_belong_to() -> None:
    def refused(code: str) -> HeavyError:
        return error_of("PT400", message=code, detail=json.dumps(FACTS[code]))

    credit, rate, gap = refused("insufficient_credits"), refused("rate_limited"), refused("gap")
    large, body = refused("too_large"), refused("invalid_body")

    assert isinstance(credit, InsufficientCredits)
    assert (credit.needed, credit.available) == (5, 2)
    assert isinstance(rate, RateLimited)
    assert (rate.retry_after_s, rate.policy) == (7, "15 a minute")
    assert isinstance(gap, Gap)
    assert (gap.oldest, gap.latest) == (3, 9)
    assert isinstance(large, TooLarge)
    assert large.limit_bytes == 1024
    assert isinstance(body, InvalidBody)
    assert body.facts() == {"errors": [{"field": "input", "message": "is too deep"}]}


def test_a_sentence_from_the_function_is_kept() -> None:
    error = error_of("PT422", message="key_conflict", detail='{"detail": "another body came before"}')

    assert isinstance(error, KeyConflict)
    assert error.detail == "another body came before"


def test_a_detail_that_is_not_json_is_the_sentence() -> None:
    assert error_of("PT404", message="run_not_found", detail="no run here").detail == "no run here"


@pytest.mark.parametrize("detail", [None, "", "[]", "{}"])
def test_without_a_sentence_the_code_has_its_own(detail: str | None) -> None:
    error = error_of("PT404", message="run_not_found", detail=detail)

    assert isinstance(error, RunNotFound)
    assert error.detail == "there is no such run, or it is not yours"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("no_such_code", None),
        ("heavy_error", None),
        ("insufficient_credits", None),
        ("insufficient_credits", '{"needed": "many", "available": 1}'),
        ("insufficient_credits", '{"needed": true, "available": 1}'),
        ("gap", '{"oldest": 1}'),
    ],
)
def test_a_refusal_this_release_does_not_know_is_our_own_fault(code: str, detail: str | None) -> None:
    assert type(error_of("PT402", message=code, detail=detail)) is InternalError


@pytest.mark.parametrize(
    "sqlstate",
    [
        "08000",
        "08003",
        "08006",
        "53300",
        "57P01",
        "57P02",
        "57P03",
        "57014",
        "25P04",
        "40001",
        "40P01",
        "55P03",
        "28P01",
    ],
)
def test_a_database_that_is_not_there_says_so_and_nothing_else(sqlstate: str) -> None:
    error = error_of(
        sqlstate, message="host db.example, user postgres, select secret", detail="password=hunter2"
    )

    assert isinstance(error, DatabaseUnavailable)
    assert error.detail == "the database did not answer; try again"


@pytest.mark.parametrize("sqlstate", ["22021", "22P02", "22P05", "54001"])
def test_text_that_cannot_be_kept_is_the_requests_fault(sqlstate: str) -> None:
    error = error_of(sqlstate, message="invalid byte sequence", detail="column secret")

    assert type(error) is InvalidRequest
    assert "secret" not in error.detail


@pytest.mark.parametrize("sqlstate", ["42883", "23505", "XX000", "P0001", ""])
def test_everything_else_is_our_own_fault_and_tells_nothing(sqlstate: str) -> None:
    error = error_of(sqlstate, message='relation "switchyard.runs" does not exist', detail="Key (id)=(1)")

    assert type(error) is InternalError
    assert error.detail == "something went wrong on our side"


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("PT402", Meaning.REFUSED),
        ("08006", Meaning.AWAY),
        ("28P01", Meaning.LOCKED_OUT),
        ("3D000", Meaning.LOCKED_OUT),
        ("PGRST000", Meaning.UNSENT),
        ("PGRST001", Meaning.AWAY),
        ("PGRST002", Meaning.UNSENT),
        ("PGRST003", Meaning.UNSENT),
        ("PGRST102", Meaning.OUR_FAULT),
        ("PGRST202", Meaning.MISSING),
        ("PGRST301", Meaning.LOCKED_OUT),
        ("PGRST302", Meaning.LOCKED_OUT),
        ("PGRST303", Meaning.UNSENT),
        ("PGRSTX00", Meaning.OUR_FAULT),
        ("42883", Meaning.MISSING),
        ("P0001", Meaning.OUR_FAULT),
        ("", Meaning.OUR_FAULT),
    ],
)
def test_every_code_has_one_meaning(code: str, meaning: Meaning) -> None:
    assert meaning_of(code) is meaning


@pytest.mark.parametrize("code", ["PGRST000", "PGRST001", "PGRST301"])
def test_what_postgrest_says_of_itself_is_not_passed_on(code: str) -> None:
    error = error_of(
        code, message="could not connect to db.internal", detail="password authentication failed"
    )

    assert type(error) is DatabaseUnavailable
    assert error.detail == "the database did not answer; try again"


def test_what_a_gateway_says_is_no_word_of_the_database() -> None:
    told = {
        status: meaning_of_status(status) for status in (200, 302, 401, 403, 404, 413, 429, 500, 502, 520)
    }

    assert {status for status, meaning in told.items() if meaning is Meaning.LOCKED_OUT} == {401, 403}
    assert told[413] is Meaning.OUR_FAULT
    assert {status for status, meaning in told.items() if meaning is Meaning.AWAY} == {
        *(200, 302, 404, 429, 500, 502, 520)
    }
