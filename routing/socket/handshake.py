"""What a client offers while the connection opens: its subprotocols, its token, its origin.

Pure, but for one thing: a token in the query is taken out of the scope, so that no line of a log can hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from foundation.errors import ConflictingCredentials, OriginNotAllowed
from routing.address_tokens import take_tokens

__all__ = ["Offer", "check_origin", "take_offer"]

SUBPROTOCOL: Final = "switchyard.v1"
TOKEN_PREFIX: Final = "jwt-"  # noqa: S105 - what comes before a token
ANY_ORIGIN: Final = "*"


@dataclass(frozen=True, slots=True)
class Offer:
    """`subprotocol` is the one to be echoed, never the one that holds a token."""

    subprotocol: str | None
    tokens: tuple[str, ...]

    def token(self) -> str | None:
        """The token offered, or None.

        Raises:
            ConflictingCredentials: there are several, and they differ.
        """
        if len(set(self.tokens)) > 1:
            raise ConflictingCredentials("two different tokens are offered; send one")
        return self.tokens[0] if self.tokens else None


def take_offer(scope: Scope) -> Offer:
    offered: list[str] = scope.get("subprotocols", [])
    tokens = [each.removeprefix(TOKEN_PREFIX) for each in offered if each.startswith(TOKEN_PREFIX)]
    tokens += take_tokens(scope)
    scope["query_string"] = b""
    return Offer(SUBPROTOCOL if SUBPROTOCOL in offered else None, tuple(tokens))


def check_origin(headers: Headers, allowed: Sequence[str]) -> None:
    """A browser lets any page open a socket to anybody; only the server can refuse.

    Raises:
        OriginNotAllowed: a page of another origin than those in `allowed`.
    """
    origins = headers.getlist("origin")
    if ANY_ORIGIN not in allowed and any(origin not in allowed for origin in origins):
        raise OriginNotAllowed("a page of this origin may not connect here; see ALLOWED_ORIGINS")
