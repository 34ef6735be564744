"""Tokens with which this backend forwards a run to another one: short-lived, for that one, about that run.

A token says which of our users it is for and under which key the run stands there. It is signed with a key of
our own, whose public half anybody may fetch, so that no secret and no token of a user ever leaves.

Source: RFC 7519, RFC 7638 (key ids), RFC 8725, section 3.11 (explicit types).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from foundation.clock import Clock
from foundation.errors import Json
from foundation.settings import Settings, read_forwarding_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["ALGORITHM", "CREDITS", "KEYS_PATH", "LIFETIME_S", "RUN_TYPE", "RunTokens", "run_tokens_of"]

KEYS_PATH: Final = "/.well-known/switchyard/jwks.json"
RUN_TYPE: Final = "switchyard-run+jwt"
ALGORITHM: Final = "ES256"
LIFETIME_S: Final = 60
# The only thing that is ever said of credits: whoever forwards a run has charged for it.
CREDITS: Final = "caller"


class RunTokens:
    """Signs with the first key and publishes all. The cryptography is loaded by the first use."""

    def __init__(self, keys: str, *, issuer: str, clock: Clock) -> None:
        """
        Args:
            keys: as `FORWARDING_KEY` has them.
            issuer: our own origin, as others name us.
        """
        self._written = keys
        self._issuer = issuer
        self._clock = clock

    def token(self, *, audience: str, user_id: UUID, key: str) -> str:
        """
        Args:
            audience: the origin of the backend it is for.
            key: the Idempotency-Key of the run there.
        """
        from jwt import encode

        now_s = int(self._clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": str(user_id),
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
            "key": key,
            "credits": CREDITS,
        }
        kid, signing = next(iter(self._keys.items()))
        return encode(claims, signing, algorithm=ALGORITHM, headers={"kid": kid, "typ": RUN_TYPE})

    @cached_property
    def key_set(self) -> dict[str, Json]:
        """The public halves, as others fetch them."""
        return {"keys": [_public(key) | {"kid": kid} for kid, key in self._keys.items()]}

    @cached_property
    def _keys(self) -> dict[str, EllipticCurvePrivateKey]:
        return {_thumbprint(key): key for key in read_forwarding_keys(self._written)}


def run_tokens_of(settings: Settings, *, clock: Clock) -> RunTokens | None:
    """None where runs cannot be forwarded, for want of a key or of a name."""
    if settings.forwarding_key is None or settings.public_url is None:
        return None
    return RunTokens(settings.forwarding_key.get_secret_value(), issuer=settings.public_url, clock=clock)


def _public(key: EllipticCurvePrivateKey) -> dict[str, Json]:
    from jwt.algorithms import ECAlgorithm

    members = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: members[name] for name in ("kty", "crv", "x", "y")} | {"alg": ALGORITHM, "use": "sig"}


def _thumbprint(key: EllipticCurvePrivateKey) -> str:
    public = _public(key)
    needed = {name: public[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(orjson.dumps(needed, option=orjson.OPT_SORT_KEYS)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
