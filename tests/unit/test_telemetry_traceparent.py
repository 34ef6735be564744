"""Whose word counts in a `traceparent`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.telemetry.traceparent import Traceparent, accepted, read_traceparent

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUIET = f"{GIVEN[:-2]}00"
IDS = st.integers(1, 2**64 - 1)


@given(st.builds(Traceparent, st.integers(1, 2**128 - 1), IDS, st.booleans()))
def test_what_is_written_is_read_again(parent: Traceparent) -> None:
    assert read_traceparent(str(parent)) == parent


@pytest.mark.parametrize(
    "text",
    [
        "",
        GIVEN[:-1],
        GIVEN.upper(),
        f"ff{GIVEN[2:]}",
        f"{GIVEN}-more",
        GIVEN.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        GIVEN.replace("b7ad6b7169203331", "0" * 16),
        f"{GIVEN}\n{GIVEN}",
        GIVEN.replace("-", "_"),
    ],
)
def test_what_is_none_is_not_read(text: str) -> None:
    assert read_traceparent(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert read_traceparent(f"01{GIVEN[2:]}-more") == read_traceparent(GIVEN)


@pytest.mark.parametrize(
    ("header", "is_trusted", "is_drawn", "is_recorded"),
    [
        (GIVEN, True, False, True),
        (GIVEN, False, True, True),
        (GIVEN, False, False, False),
        (QUIET, True, True, False),
        (QUIET, False, True, False),
    ],
)
def test_anybody_may_keep_out_but_only_the_service_and_luck_bring_in(
    header: str, is_trusted: bool, is_drawn: bool, is_recorded: bool
) -> None:
    parent = accepted([header], is_trusted=is_trusted, is_drawn=is_drawn)

    assert parent is not None
    assert parent.is_sampled is is_recorded
    assert f"{parent.trace_id:032x}" == GIVEN[3:35]


def test_two_headers_are_none() -> None:
    assert accepted([GIVEN, GIVEN], is_trusted=True, is_drawn=True) is None
