"""Taking a body in: how much, how slow, how deep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from foundation.errors import Json, TooLarge, TooSlow
from routing.bodies import Pace, parse, read_bytes
from routing.fields import MAX_DEPTH, field_path, first_mistake

HASTY = Pace(silence_s=0.05, total_s=0.3, least_bytes_s=1000)


def request(receive: Callable[[], Awaitable[Message]], **headers: str) -> Request:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": lines}, receive)


def sent(parts: Iterable[bytes], *, pause_s: float = 0.0) -> Callable[[], Awaitable[Message]]:
    """A client that sends these parts, and then is silent."""
    left = list(parts)

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        if not left:
            await asyncio.Event().wait()
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or body != b"."}

    return receive


async def test_parts_are_joined() -> None:
    assert await read_bytes(request(sent([b"ab", b"c", b"."])), limit_bytes=4) == b"abc."


async def test_one_byte_too_many_is_too_large() -> None:
    with pytest.raises(TooLarge):
        await read_bytes(request(sent([b"ab", b"cd"])), limit_bytes=3)


async def test_what_is_announced_too_large_is_not_waited_for() -> None:
    with pytest.raises(TooLarge):
        await read_bytes(request(sent([]), content_length="5"), limit_bytes=4)


async def test_silence_is_too_slow() -> None:
    with pytest.raises(TooSlow):
        await read_bytes(request(sent([b"ab"])), limit_bytes=100, pace=HASTY)


async def test_a_trickle_is_too_slow() -> None:
    trickle = sent([b"x"] * 100, pause_s=0.02)

    with pytest.raises(TooSlow):
        await read_bytes(request(trickle), limit_bytes=100, pace=HASTY)


async def test_a_body_that_never_ends_is_too_slow_in_the_end() -> None:
    endless = sent([b"x" * 1000] * 1000, pause_s=0.02)

    with pytest.raises(TooSlow):
        await read_bytes(request(endless), limit_bytes=10**9, pace=HASTY)


async def test_a_client_that_leaves_is_no_error_of_its_body() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await read_bytes(request(receive), limit_bytes=10)


async def test_a_large_body_is_the_same_document() -> None:
    large = b'{"a": "%b", "b": [1, 2]}' % (b"x" * 1_000_000)

    assert await parse(large) == {"a": "x" * 1_000_000, "b": [1, 2]}


def nested(depth: int) -> dict[str, Json]:
    value: dict[str, Json] = {"leaf": 1}
    for number in range(depth - 1):
        value = {"a": [value]} if number % 2 else {"a": value}
    return value


def depth(value: Json) -> int:
    match value:
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case list():
            return 1 + max(map(depth, value), default=0)
        case _:
            return 0


@given(st.integers(1, 80))
def test_a_document_may_be_exactly_so_deep(levels: int) -> None:
    document = nested(levels)

    assert (first_mistake(document) is not None) == (depth(document) > MAX_DEPTH)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def holds_nul(value: Json) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or holds_nul(each) for key, each in value.items())
        case list():
            return any(map(holds_nul, value))
        case _:
            return False


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_nul_is_found_wherever_it_is(document: dict[str, Json]) -> None:
    assert (first_mistake(document) is not None) == holds_nul(document)


def test_a_field_is_named_as_a_program_would_reach_it() -> None:
    assert field_path(["messages", 0, "content"]) == "messages[0].content"
    assert field_path([]) == ""
