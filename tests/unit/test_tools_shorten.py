from __future__ import annotations

import json

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.tools import Outcome, shown_arguments
from heavy_agents.tools.shorten import shorten

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.integers(1, 2_000).map(
    lambda n: '"\n\x01€🙂'[n % 5] * n
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(TEXTS, inner, max_size=40),
    max_leaves=60,
)


@given(VALUES, st.integers(256, 3_000))
@example("\x01" * 10_000, 256)
@example([["x"] * 500] * 500, 256)
@example({"k" * 5_000 + str(n): n for n in range(20)}, 256)
def test_what_is_cut_fits_and_is_json(value: Json, max_bytes: int) -> None:
    encoded = orjson.dumps(shorten(value, max_bytes))

    assert len(encoded) <= max_bytes
    json.loads(encoded.decode("utf-8"))


@given(VALUES)
def test_what_fits_stays_as_it_is(value: Json) -> None:
    assert shorten(value, max(256, len(orjson.dumps(value)))) == value


def test_what_was_cut_keeps_its_shape_and_says_so() -> None:
    page: Json = {"status": 200, "text": "word " * 10_000, "links": [f"link {n}" for n in range(1_000)]}

    shown = Outcome.succeeded(page).shown()

    assert isinstance(shown, dict)
    assert shown["status"] == 200
    assert str(shown["text"]).startswith("word word")
    assert str(shown["text"]).endswith("more characters]")
    links = shown["links"]
    assert isinstance(links, list)
    assert links[0] == "link 0"
    assert str(links[-1]).endswith("more]")


def test_an_error_is_shown_cut_too() -> None:
    shown = Outcome.failed("no " * 5_000).shown()

    assert len(orjson.dumps(shown)) <= 4_096
    assert str(shown).startswith("no no")


@given(st.text() | VALUES.map(json.dumps))
def test_arguments_are_shown_whatever_the_model_wrote(text: str) -> None:
    assert len(orjson.dumps(shown_arguments(text))) <= 4_096


def test_arguments_are_shown_as_what_they_are() -> None:
    assert shown_arguments('{"a": [1, "b"]}') == {"a": [1, "b"]}
    assert shown_arguments("") == {}
    assert shown_arguments('{"a": ') == '{"a": '
