"""Which functions a message sets off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.edge.functions import MAX_MESSAGE_CHARS, Function, FunctionType, fire, read_functions

WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


def function(
    *keywords: str, type_: FunctionType = FunctionType.WEBHOOK, config: dict[str, Json] | None = None
) -> Function:
    return Function("f", type_, keywords, config or {})


def reply(*keywords: str, text: Json = "nine to five") -> Function:
    return function(*keywords, type_=FunctionType.CONDITIONAL, config={"response": text})


@pytest.mark.parametrize(
    ("keyword", "message", "fires"),
    [
        ("hours", "What are your hours?", True),
        ("HOURS", "what are your hours", True),
        ("hours", "rush-hours.", True),
        ("hour", "hours", False),
        ("hours", "hours_of_day", False),
        ("opening hours", "Your opening hours, please", True),
        ("c++", "I write C++ all day", True),
        ("Öffnung", "die öffnung", True),
        ("a", "hours of a day", True),
    ],
)
def test_a_keyword_fires_as_whole_words_in_any_case(keyword: str, message: str, *, fires: bool) -> None:
    assert bool(fire([function(keyword)], message).called) is fires


@given(WORDS, WORDS, WORDS)
def test_a_word_fires_wherever_it_stands(before: str, keyword: str, after: str) -> None:
    assert fire([function(keyword)], f"{before} {keyword} {after}").called


def test_any_of_several_keywords_is_enough_and_none_fires_nothing() -> None:
    assert fire([function("one", "two")], "and two").called
    assert not fire([function()], "anything").called


def test_only_the_beginning_of_a_message_is_looked_at() -> None:
    far = "x " * MAX_MESSAGE_CHARS + "hours"

    assert not fire([function("hours")], far).called


def test_the_first_reply_ends_the_request_and_what_fires_before_it_is_called() -> None:
    before, after = function("go"), function("go")
    silent = reply("go", text="  ")

    fired = fire([before, silent, reply("go"), reply("go", text="other"), after], "go")

    assert (fired.called, fired.reply) == ((before,), "nine to five")


def test_a_reply_may_stand_under_its_older_name() -> None:
    old = function("go", type_=FunctionType.CONDITIONAL, config={"reply": "hello"})

    assert fire([old], "go").reply == "hello"


def test_rows_are_read_without_what_is_empty_in_them() -> None:
    row = {
        "name": "f",
        "function_type": "webhook",
        "trigger_keywords": [" go ", "", None],
        "config": ["no object"],
    }

    (read,) = read_functions([row])

    assert (read.keywords, read.config) == (("go",), {})
