"""One malformed request: its bytes, and the refusals that are right for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson

from tests.support.raw import request_head

__all__ = ["BODY", "HEAD", "JSON", "UNREADABLE", "Given", "Make", "Malformed", "asked", "codes"]

# Any: JSON, right or wrong.
Document = dict[str, Any]

JSON: Final = ("content-type", "application/json")


def codes(*names: str) -> frozenset[str]:
    return frozenset(names)


# The text is no JSON; a field of it is wrong; the request cannot be read at all.
UNREADABLE: Final = codes("invalid_request")
BODY: Final = codes("invalid_body")
HEAD: Final = codes("invalid_request")


@dataclass(frozen=True)
class Given:
    """Who asks, and what exists: a run that has ended, agents and a conversation of theirs."""

    token: str
    secret: str
    user_id: str
    run_id: str
    agent_id: str
    forecaster_id: str
    conversation_id: str

    @property
    def user(self) -> tuple[str, str]:
        return ("authorization", f"Bearer {self.token}")

    @property
    def service(self) -> list[tuple[str, str]]:
        return [("x-railway-secret", self.secret), ("x-user-id", self.user_id)]


@dataclass(frozen=True)
class Malformed:
    """
    Attributes:
        wants: the codes a refusal may have.
        field: what it names where it says which field is wrong: itself, or something inside it.
        may_be_cut: so large that the answer may be lost with the connection.
    """

    name: str
    request: bytes
    wants: frozenset[str]
    field: str | None = None
    may_be_cut: bool = False


Make = Callable[[Random, Given], Malformed]


def asked(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes | Document | None = None
) -> bytes:
    """A whole request, its length told."""
    if body is None:
        return request_head(method, path, headers)
    content = orjson.dumps(body) if isinstance(body, dict) else body
    return request_head(method, path, [*headers, ("content-length", str(len(content)))]) + content
