"""A user's token in the address, from those who can send no header: a browser's sockets and `EventSource`.

It is taken out of the scope before anything else looks at the request, so that no line of a log and no error
can hold it. Only the socket and a run's events take one: an address is kept in more places than a header.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

__all__ = ["AddressTokenRoute", "move_tokens", "take_tokens"]

NAME: Final = "token"


class AddressTokenRoute(APIRoute):
    """A route that takes `?token=` as if it were the header `Authorization`."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        move_tokens(scope)
        await super().handle(scope, receive, send)


def move_tokens(scope: Scope) -> None:
    """Put the token where other clients send it; one that differs stands beside theirs, as a conflict."""
    sent = {value for name, value in scope["headers"] if name == b"authorization"}
    offered = {b"Bearer " + token.encode("latin-1", errors="replace") for token in take_tokens(scope)}
    scope["headers"] = [*scope["headers"], *((b"authorization", value) for value in sorted(offered - sent))]


def take_tokens(scope: Scope) -> list[str]:
    """The tokens of the query, which is without them from now on."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rest = [pair for pair in pairs if pair[0] != NAME]
    if len(rest) < len(pairs):
        scope["query_string"] = urlencode(rest).encode()
    return [value for name, value in pairs if name == NAME and value]
