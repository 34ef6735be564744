from __future__ import annotations

import json

import pytest

from foundation import errors
from foundation.db.mapping import error_of
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
