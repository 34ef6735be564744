"""Whether a genuine token is one of a signed-in user of this project, and valid now.

Pure: the time is handed in. Each refusal is a sentence that helps an honest developer; none repeats what the
token holds or what this server expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from foundation.errors import InvalidToken
from foundation.identity.caller import Caller, CallerKind

__all__ = ["LEEWAY_S", "TokenRules", "check_times", "read_claims", "read_user_id"]

LEEWAY_S: Final = 30
AUDIENCE: Final = "authenticated"
# The last second of the year 9999: a larger number is a mistake in the unit, or an attempt to overflow.
LATEST_TIME: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class TokenRules:
    """`issuer` must match exactly."""

    issuer: str
    allow_anonymous: bool
    allow_oauth_clients: bool


def read_claims(claims: Mapping[str, object], rules: TokenRules, *, now_s: int) -> Caller:
    """The user a verified token stands for.

    Args:
        now_s: seconds since the epoch.

    Raises:
        InvalidToken: the first rule that does not hold.
    """
    expires_at = check_times(claims, now_s)
    if claims.get("iss") != rules.issuer:
        raise InvalidToken("the token was issued by another project; its iss is not the one configured here")
    if claims.get("role") != AUDIENCE:
        raise InvalidToken("the token is not a signed-in user's; its role must be authenticated")
    if not _is_for_us(claims.get("aud")):
        raise InvalidToken("the token's aud must contain authenticated")
    _check_kind(claims, rules)
    user_id = read_user_id(claims.get("sub"))
    if user_id is None:
        raise InvalidToken("the token's sub must be a user's UUID")
    return Caller(user_id, CallerKind.USER, expires_at)


def read_user_id(text: object) -> UUID | None:
    """A UUID in its canonical spelling, else None: two spellings of one user must not look like two."""
    if not isinstance(text, str):
        return None
    try:
        user_id = UUID(text)
    except ValueError:
        return None
    return user_id if str(user_id) == text else None


def check_times(claims: Mapping[str, object], now_s: int) -> int:
    """When a token expires, in seconds since the epoch.

    Raises:
        InvalidToken: it has expired, is not valid yet, or says no time at all.
    """
    if "exp" not in claims:
        raise InvalidToken("the token has no exp")
    expires_at = _time(claims, "exp", now_s)
    if expires_at <= now_s - LEEWAY_S:
        raise InvalidToken("the token has expired; refresh the session")
    for name in ("nbf", "iat"):
        if _time(claims, name, now_s) > now_s + LEEWAY_S:
            raise InvalidToken(f"the token is not valid yet; its {name} lies in the future")
    return expires_at


def _time(claims: Mapping[str, object], name: str, absent: int) -> int:
    value = claims.get(name, absent)
    # `bool` is an `int` in Python, and no time.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LATEST_TIME:
        raise InvalidToken(f"the token's {name} is not a time in whole seconds")
    return value


def _is_for_us(audience: object) -> bool:
    if isinstance(audience, list):
        return all(isinstance(each, str) for each in audience) and AUDIENCE in audience
    return audience == AUDIENCE


def _check_kind(claims: Mapping[str, object], rules: TokenRules) -> None:
    anonymous = claims.get("is_anonymous")
    if anonymous is not None and anonymous is not False and not rules.allow_anonymous:
        raise InvalidToken("anonymous users are not accepted here; sign in first")
    if claims.get("client_id") is not None and not rules.allow_oauth_clients:
        raise InvalidToken("tokens issued to third-party applications are not accepted here")
