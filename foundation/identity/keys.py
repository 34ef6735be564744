"""Which published keys may verify a token, and with which algorithm.

Pure. The key decides the algorithm: P-256 means ES256, RSA means RS256, the project's shared secret means
HS256. What a token says about itself never does. Keys we cannot use are passed over, so that a project may
publish others for other readers.

Source: RFC 7517, RFC 7518.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["MAX_KID_CHARS", "KeySetError", "VerifyKey", "read_key_set", "shared_key"]

MAX_KEYS: Final = 50
MAX_KID_CHARS: Final = 256
RSA_BITS: Final = range(2048, 8193)

# Any: a JWK is whatever JSON its publisher wrote; every member is checked before use.
Jwk = dict[str, Any]


class KeySetError(Exception):
    """The document is not a key set, or a suspiciously large one."""


@dataclass(frozen=True, slots=True)
class VerifyKey:
    algorithm: Literal["ES256", "RS256", "HS256"]
    material: EllipticCurvePublicKey | RSAPublicKey | bytes


def shared_key(secret: str) -> VerifyKey:
    return VerifyKey("HS256", secret.encode())


def read_key_set(document: bytes) -> dict[str, VerifyKey]:
    """The usable keys of a JWKS by their `kid`; may be none.

    Raises:
        KeySetError: then the last good keys go on.
    """
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError as error:
        raise KeySetError("it is not JSON") from error
    published = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(published, list):
        raise KeySetError("it has no list of keys")
    if len(published) > MAX_KEYS:
        raise KeySetError(f"it has {len(published)} keys; at most {MAX_KEYS} are taken")
    usable: dict[str, VerifyKey] = {}
    for jwk in published:
        if isinstance(jwk, dict) and (key := _read_key(jwk)) is not None:
            usable.setdefault(jwk["kid"], key)
    return usable


def _read_key(jwk: Jwk) -> VerifyKey | None:
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARS or not _is_for_verifying(jwk):
        return None
    # Loaded with the first key set: the cryptography behind it takes a fifth of a second.
    from jwt import PyJWK, PyJWTError

    try:
        match jwk.get("kty"), jwk.get("crv"), jwk.get("alg"):
            case "EC", "P-256", None | "ES256":
                return _ec(PyJWK(jwk, "ES256").key)
            case "RSA", _, None | "RS256":
                return _rsa(PyJWK(jwk, "RS256").key)
            case _:
                return None
    # AttributeError, TypeError: the library decodes members without looking at their types first.
    except (PyJWTError, AttributeError, TypeError, ValueError):
        return None


def _is_for_verifying(jwk: Mapping[str, object]) -> bool:
    """A key published with its private part proves nothing about who signed."""
    operations = jwk.get("key_ops")
    return (
        "d" not in jwk
        and jwk.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _ec(key: object) -> VerifyKey | None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    return VerifyKey("ES256", key) if isinstance(key, EllipticCurvePublicKey) else None


def _rsa(key: object) -> VerifyKey | None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) and key.key_size in RSA_BITS:
        return VerifyKey("RS256", key)
    return None
