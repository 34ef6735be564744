"""Whether a Supabase access token is genuine: its form, its header and its signature.

Pure: the key is handed in. Nothing in a token is believed before the signature holds; until then its header
only says which key to look for. Addresses and keys inside a header are a reason to refuse and are never
followed.

Source: RFC 7515, RFC 8725.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from foundation.errors import InvalidToken
from foundation.identity.keys import MAX_KID_CHARS, VerifyKey

__all__ = ["TokenHeader", "read_header", "read_issuer", "verify_signature"]

MAX_TOKEN_CHARS: Final = 8192
COMPACT_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
FOREIGN_HEADERS: Final = frozenset({"b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"})
KID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_KID_CHARS}}}\Z")


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """What the token says about itself, unproved. `kid` and `type` are None when it has none."""

    algorithm: str
    kid: str | None
    type: str | None = None


def read_header(token: str) -> TokenHeader:
    """
    Raises:
        InvalidToken: it is no JWT, or one of a form that is never taken.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidToken(f"the token is longer than the {MAX_TOKEN_CHARS} characters taken")
    if COMPACT_FORM.match(token) is None:
        raise InvalidToken("the token is not a JWT; send the user's access token")
    # Loaded with the first token: the cryptography behind it takes a fifth of a second.
    from jwt import PyJWTError, get_unverified_header

    try:
        # Without what follows it, which is looked at once, with the signature: the library reads it letter by
        # letter, and that is the larger part of what a request costs here.
        header = get_unverified_header(f"{token.partition('.')[0]}..")
    except PyJWTError as error:
        raise InvalidToken("the token's header cannot be read") from error
    if foreign := sorted(FOREIGN_HEADERS & header.keys()):
        raise InvalidToken(f"tokens with the header {foreign[0]} are not taken")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidToken("the token names no algorithm")
    if kid is not None and (not isinstance(kid, str) or KID.match(kid) is None):
        raise InvalidToken("the token's key id is malformed")
    type_ = header.get("typ")
    return TokenHeader(algorithm, kid, type_ if isinstance(type_, str) else None)


def read_issuer(token: str) -> str:
    """Who claims to have signed a token, unproved: it only says whose keys to look at.

    Raises:
        InvalidToken: it says nobody.
    """
    from jwt import PyJWTError, decode

    try:
        issuer = decode(token, options={"verify_signature": False}).get("iss")
    except PyJWTError as error:
        raise InvalidToken("the token's claims cannot be read") from error
    if not isinstance(issuer, str):
        raise InvalidToken("the token names no issuer")
    return issuer


# Any: claims are whatever JSON the issuer signed; `claims` checks each one it uses.
def verify_signature(token: str, key: VerifyKey) -> dict[str, Any]:
    """The claims of a token that `key` signed with the key's own algorithm; the claims are not judged yet.

    Raises:
        InvalidToken: somebody else signed it, or it was changed, or its payload is no JSON object.
    """
    from jwt import PyJWTError, decode

    try:
        return decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            options={
                "enforce_minimum_key_length": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except PyJWTError as error:
        raise InvalidToken("the token is not signed with a key of this project") from error
