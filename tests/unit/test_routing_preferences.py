"""Headers that say how to answer: read as RFC 7240 and RFC 9110 write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from foundation.errors import InvalidRequest
from routing.preferences import Preference, accepts, parse_key, parse_prefer

# Any: JSON documents of the table.
CASES: list[dict[str, Any]] = orjson.loads(
    (Path(__file__).parents[1] / "golden" / "preferences.json").read_bytes()
)["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["line"]))
def test_a_preference_is_read_as_the_edge_function_reads_it(case: dict[str, Any]) -> None:
    lines = [] if case["line"] is None else [case["line"]]

    assert parse_prefer(lines) == Preference(respond_async=case["respondAsync"], wait_s=case["waitS"])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Preference()),
        (["respond-async"], Preference(respond_async=True)),
        (["Respond-Async"], Preference(respond_async=True)),
        (["wait=10"], Preference(wait_s=10)),
        (["wait = 10"], Preference(wait_s=10)),
        (['wait="10"'], Preference(wait_s=10)),
        (["respond-async, wait=10"], Preference(respond_async=True, wait_s=10)),
        (["respond-async", "wait=10"], Preference(respond_async=True, wait_s=10)),
        (["wait=10, wait=20"], Preference(wait_s=10)),
        (["wait=0"], Preference(wait_s=0)),
        (["wait=241"], Preference(wait_s=240)),
        (["wait=99999999999999999999"], Preference()),
        (["wait=-1"], Preference()),
        (["wait=soon"], Preference()),
        (["wait"], Preference()),
        (['foo="a, respond-async", bar'], Preference()),
        (["handling=lenient; x=1, respond-async; y"], Preference(respond_async=True)),
        ([",,;=,"], Preference()),
    ],
)
def test_a_preference_is_read_and_nonsense_passed_over(lines: list[str], expected: Preference) -> None:
    assert parse_prefer(lines) == expected


@pytest.mark.parametrize(
    ("preference", "patience_s"),
    [
        (Preference(), 100),
        (Preference(respond_async=True), 0),
        (Preference(respond_async=True, wait_s=5), 5),
        (Preference(wait_s=0), 0),
    ],
)
def test_who_says_nothing_waits_a_hundred_seconds(preference: Preference, patience_s: int) -> None:
    assert preference.patience_s == patience_s


def test_only_what_was_honoured_is_said_to_be_applied() -> None:
    asked = Preference(respond_async=True, wait_s=5)

    assert asked.applied(is_accepted=True) == {"Preference-Applied": "wait=5, respond-async"}
    assert asked.applied(is_accepted=False) == {"Preference-Applied": "wait=5"}
    assert Preference().applied(is_accepted=True) == {}


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ([], None),
        (["abc"], "abc"),
        (['"abc"'], "abc"),
        (["a b"], "a b"),
        (["k" * 255], "k" * 255),
        (['"'], '"'),
    ],
)
def test_a_key_is_read_quoted_or_bare(lines: list[str], key: str | None) -> None:
    assert parse_key(lines) == key


@pytest.mark.parametrize("lines", [[""], ['""'], ["k" * 256], ["é"], ["a\tb"], ["a", "a"]])
def test_a_key_that_protects_nothing_is_refused(lines: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_key(lines)


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/html, text/event-stream;q=0.5", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q=0.00", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
    ],
)
def test_a_type_is_accepted_when_it_is_named(line: str, accepted: bool) -> None:
    assert accepts("text/event-stream", [line]) is accepted
