from __future__ import annotations

import pytest
from starlette.types import Scope

from routing.address_tokens import move_tokens, take_tokens


def scope(query: str, *authorizations: bytes) -> Scope:
    return {"query_string": query.encode(), "headers": [(b"authorization", each) for each in authorizations]}


@pytest.mark.parametrize(
    ("query", "tokens", "left"),
    [
        ("after=3&token=abc&wait=1", ["abc"], b"after=3&wait=1"),
        ("%74oken=a%2Bb&token=c", ["a+b", "c"], b""),
        ("token=&after=", [], b"after="),
        ("tokens=a&Token=b&after=%C3%A9+%ff", [], b"tokens=a&Token=b&after=%C3%A9+%ff"),
    ],
)
def test_the_tokens_leave_the_query_and_nothing_else_does(query: str, tokens: list[str], left: bytes) -> None:
    request = scope(query)

    assert take_tokens(request) == tokens
    assert request["query_string"] == left


@pytest.mark.parametrize(
    ("query", "sent", "afterwards"),
    [
        ("after=1", (), []),
        ("token=a", (), [b"Bearer a"]),
        ("token=a&token=a", (b"Bearer a",), [b"Bearer a"]),
        ("token=b", (b"Bearer a",), [b"Bearer a", b"Bearer b"]),
    ],
)
def test_a_token_becomes_the_header_unless_it_is_there(
    query: str, sent: tuple[bytes, ...], afterwards: list[bytes]
) -> None:
    request = scope(query, *sent)

    move_tokens(request)

    assert [value for _, value in request["headers"]] == afterwards
    assert request["query_string"] in {b"", b"after=1"}
