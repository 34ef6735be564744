from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.tools.mcp.result import read_result
from heavy_agents.tools.mcp.text import Blotter, plain
from heavy_agents.tools.tool import ToolFailed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def read(answer: dict[str, Json], *, max_bytes: int = 1000) -> Json:
    return read_result(answer, server="srv", max_bytes=max_bytes)


def text(*texts: str) -> list[Json]:
    return [{"type": "text", "text": each} for each in texts]


def test_text_is_joined() -> None:
    assert read({"content": text("one", "two")}) == "one\ntwo"


def test_structured_content_comes_before_text() -> None:
    assert read({"content": text("{}"), "structuredContent": {"a": [1]}}) == {"a": [1]}


def test_no_content_is_an_empty_text() -> None:
    assert read({"content": []}) == ""


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (
            {"type": "image", "mimeType": "image/png", "data": base64.b64encode(bytes(100)).decode()},
            "[image: image/png, 100 bytes, not shown]",
        ),
        ({"type": "audio", "mimeType": "audio/wav", "data": ""}, "[audio: audio/wav, 0 bytes, not shown]"),
        ({"type": "resource_link", "uri": "file:///a\nb"}, "[resource: file:///a b]"),
        ({"type": "resource", "resource": {"uri": "x:1", "text": "words"}}, "words"),
        (
            {"type": "resource", "resource": {"uri": "x:1", "mimeType": "a/b", "blob": "AAAA"}},
            "[resource: x:1, a/b, 3 bytes, not shown]",
        ),
        ({"type": "hologram"}, "[hologram: not shown]"),
        ({}, "[unknown type: not shown]"),
    ],
)
def test_what_is_no_text_becomes_a_line(block: Json, line: str) -> None:
    assert read({"content": [block]}) == line


@given(st.binary(max_size=50))
def test_the_size_behind_base64_is_exact(content: bytes) -> None:
    block: Json = {"type": "image", "mimeType": "a/b", "data": base64.b64encode(content).decode()}

    assert read({"content": [block]}) == f"[image: a/b, {len(content)} bytes, not shown]"


def test_the_size_limit_is_exact() -> None:
    assert read({"content": text("x" * 98)}, max_bytes=100) == "x" * 98
    with pytest.raises(ToolFailed, match="ask for less"):
        read({"content": text("x" * 99)}, max_bytes=100)


def test_a_result_that_is_no_json_fails() -> None:
    with pytest.raises(ToolFailed, match="not plain JSON"):
        read({"content": [], "structuredContent": 2**70})


def test_an_error_is_told_in_the_servers_words_cut_and_cleaned() -> None:
    with pytest.raises(ToolFailed) as failed:
        read({"content": text("no\x00\x1b[31m " + "x" * 5000), "isError": True})

    assert failed.value.message.startswith("no  [31m xxx")
    assert len(failed.value.message) <= 2000


def test_an_error_without_words_is_told_too() -> None:
    with pytest.raises(ToolFailed, match="MCP server srv says that the call failed"):
        read({"content": [], "isError": True})


def test_every_shape_of_a_secret_is_hidden() -> None:
    blotter = Blotter({"Authorization": "Bearer abcdefgh-1", "X-Key": "ijklmnop-2", "X-Team": "blue"})
    said: Json = {"abcdefgh-1": ["Bearer abcdefgh-1", {"key": "is ijklmnop-2!"}], "team": "blue"}

    assert blotter.json(said) == {"[hidden]": ["[hidden]", {"key": "is [hidden]!"}], "team": "blue"}


@given(JSON)
def test_what_holds_no_secret_stays_as_it_is(value: Json) -> None:
    assert Blotter({"X-Key": "not-in-any-example"}).json(value) == value


@given(st.text(), st.integers(1, 50))
def test_plain_text_is_bounded_and_printable(said: str, max_chars: int) -> None:
    cleaned = plain(said, max_chars=max_chars)

    assert len(cleaned) <= max_chars
    assert all(each in "\n\t" or each.isprintable() for each in cleaned)
