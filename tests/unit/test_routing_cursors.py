"""Positions: what is one, what is none, and which of two counts."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import BadCursor, RunNotFound
from routing.cursors import parse_after, parse_before, parse_run_id


@given(st.integers(0, 2**31 - 1))
def test_every_number_an_event_can_have_is_a_position(number: int) -> None:
    assert parse_after(after=str(number), last_event_id=None) == number


@given(st.text(max_size=12).filter(lambda text: not (text.strip().isascii() and text.strip().isdigit())))
def test_whatever_is_no_number_is_no_position(text: str) -> None:
    with pytest.raises(BadCursor):
        parse_after(after=text, last_event_id=None)


@pytest.mark.parametrize(
    ("after", "last_event_id", "position"),
    [(None, None, 0), ("3", None, 3), (None, "4", 4), ("3", "4", 4), ("3", "", 3), (None, "", 0)],
)
def test_the_browsers_header_counts_before_the_address(
    after: str | None, last_event_id: str | None, position: int
) -> None:
    assert parse_after(after=after, last_event_id=last_event_id) == position


@pytest.mark.parametrize(
    ("after", "last_event_id"), [("x", "4"), ("3", "x"), ("-1", "4"), ("", "4"), ("", None)]
)
def test_a_mistake_is_one_also_where_the_other_position_counts(after: str, last_event_id: str | None) -> None:
    with pytest.raises(BadCursor):
        parse_after(after=after, last_event_id=last_event_id)


def test_a_number_beyond_all_events_is_no_position() -> None:
    with pytest.raises(BadCursor):
        parse_after(after=str(2**31), last_event_id=None)


@given(st.uuids())
def test_a_runs_id_is_read_back(run_id: UUID) -> None:
    assert parse_run_id(str(run_id)) == parse_before(str(run_id)) == run_id


@pytest.mark.parametrize("text", ["", "x", "{%s}", "urn:uuid:%s", "%s\n", " %s"])
def test_what_no_run_can_be_called_reads_as_an_unknown_run(text: str) -> None:
    text = text.replace("%s", str(uuid4()))

    with pytest.raises(RunNotFound):
        parse_run_id(text)
    with pytest.raises(BadCursor):
        parse_before(text)


def test_no_position_is_the_newest_page() -> None:
    assert parse_before(None) is None
