from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.outbound.lines import MAX_LINE_BYTES, Lines, LineTooLong

PIECES = st.lists(
    st.sampled_from(
        [
            b"data:",
            b"data: ",
            b"data",
            b"x",
            "ü🙂".encode(),
            b"\r",
            b"\n",
            b"\r\n",
            b":",
            b"id: 1",
            b"\xef\xbb\xbf",
        ]
    ),
    max_size=40,
).map(b"".join)


def read(*parts: bytes) -> list[bytes]:
    lines = Lines()
    events = [event for part in parts for event in lines.feed(part)]
    last = lines.end()
    return events if last is None else [*events, last]


@given(PIECES, st.lists(st.integers(0, 120), max_size=12))
def test_events_do_not_depend_on_where_the_bytes_are_split(whole: bytes, places: list[int]) -> None:
    cuts = sorted({0, len(whole), *(min(place, len(whole)) for place in places)})
    parts = [whole[start:end] for start, end in pairwise(cuts)]

    assert read(*parts) == read(whole)


@given(PIECES)
def test_every_line_is_counted_once_however_it_comes(whole: bytes) -> None:
    at_once, bytewise = Lines(), Lines()
    list(at_once.feed(whole))
    for byte in whole:
        list(bytewise.feed(bytes([byte])))

    assert bytewise.count == at_once.count


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    assert read(b"data: a" + end + end + b"data:b" + end + end) == [b"a", b"b"]


def test_lines_of_one_event_are_joined() -> None:
    assert read(b"data: {\ndata: }\ndata\n\n") == [b"{\n}\n"]


def test_a_mark_before_the_first_line_is_no_part_of_it() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


def test_comments_and_other_fields_are_no_data_but_a_sign_of_life() -> None:
    lines = Lines()

    events = list(lines.feed(b": keep-alive\nevent: message\nid: 3\nretry: 10\ndatax: 1\n\n"))

    assert events == []
    assert lines.count == 6


def test_half_a_line_is_no_sign_of_life() -> None:
    lines = Lines()

    list(lines.feed(b"data: half"))

    assert lines.count == 0


def test_an_event_is_given_at_the_end_if_its_lines_are_whole() -> None:
    assert read(b"data: [DONE]\n") == [b"[DONE]"]
    assert read(b"data: [DONE") == []


@pytest.mark.parametrize(
    "whole",
    [
        b"data: " + b"x" * MAX_LINE_BYTES,
        b"data: a\n\n:" + b"x" * MAX_LINE_BYTES + b"\n\n",
        b"data: " + b"x" * MAX_LINE_BYTES + b"\n\n",
        b"data:\n" * (MAX_LINE_BYTES // 5 + 1),
        b"\xef\xbb\xbfdata: " + b"x" * (MAX_LINE_BYTES - 8) + b"\n",
    ],
)
def test_an_endless_line_or_event_is_nonsense_however_it_comes(whole: bytes) -> None:
    with pytest.raises(LineTooLong):
        read(whole)
    with pytest.raises(LineTooLong):
        read(*(whole[start : start + 65_536] for start in range(0, len(whole), 65_536)))


def test_what_came_before_nonsense_is_given() -> None:
    events = Lines().feed(b"data: a\n\ndata: " + b"x" * MAX_LINE_BYTES + b"\n")

    assert next(events) == b"a"
    with pytest.raises(LineTooLong):
        next(events)
