"""Which credentials a request offers, unproved.

Pure. A credential that is sent twice is refused: two readers could each take another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from foundation.errors import ConflictingCredentials, InvalidToken
from foundation.identity.errors import MissingCredentials

__all__ = ["Credentials", "read_credentials"]

NAMES: Final = ("authorization", "x-railway-secret", "x-user-id", "x-api-key")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """None means the header was not sent. At least one of `bearer`, `api_key` and `secret` is there."""

    bearer: str | None
    api_key: str | None
    secret: str | None
    user_id: str | None


def read_credentials(headers: Mapping[str, str]) -> Credentials:
    """
    Args:
        headers: names in any case; `items()` may repeat a name, as Starlette's headers do.

    Raises:
        MissingCredentials: there are none.
        ConflictingCredentials: one is given twice.
        InvalidToken: one is of a kind or form that is not taken.
    """
    offered = _offered(headers)
    if "x-user-id" in offered and "x-railway-secret" not in offered:
        raise InvalidToken("x-user-id is only taken together with x-railway-secret")
    if not offered:
        raise MissingCredentials("send Authorization: Bearer with the access token, or x-api-key")
    bearer = _bearer(offered["authorization"]) if "authorization" in offered else None
    return Credentials(
        bearer=bearer,
        api_key=offered.get("x-api-key"),
        secret=offered.get("x-railway-secret"),
        user_id=offered.get("x-user-id"),
    )


def _offered(headers: Mapping[str, str]) -> dict[str, str]:
    offered: dict[str, str] = {}
    for name, value in headers.items():
        if (known := name.lower()) not in NAMES:
            continue
        if known in offered:
            raise ConflictingCredentials(f"{known} is offered more than once; send one")
        offered[known] = value
    return offered


def _bearer(value: str) -> str:
    scheme, _, token = value.strip(" \t").partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("the Authorization header must be: Bearer, a space and the access token")
    if "," in token:
        # No token has one: whoever is between has made one header of two.
        raise ConflictingCredentials("authorization is offered more than once; send one")
    return token
