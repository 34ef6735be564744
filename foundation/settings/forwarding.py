"""The keys that forwarded runs are signed with, as an operator writes them: PEM, JWK or a set of JWKs.

Pure. Several at once let one be exchanged for another: the first signs, and all are published, so that what
the older one has signed is still taken while the replicas change over.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["is_forwarding_key", "read_forwarding_keys"]

PEM: Final = re.compile(r"-----BEGIN (?:EC )?PRIVATE KEY-----.+?-----END (?:EC )?PRIVATE KEY-----", re.DOTALL)
MOST: Final = 5


def is_forwarding_key(text: str) -> bool:
    """Whether `read_forwarding_keys` takes it. Loads the cryptography: only asked where there is a key."""
    try:
        read_forwarding_keys(text)
    except ValueError:
        return False
    return True


def read_forwarding_keys(text: str) -> list[EllipticCurvePrivateKey]:
    """The keys in their order; at least one.

    Raises:
        ValueError: there is none, or one that is not a private key on P-256; it repeats nothing of the text.
    """
    keys = _from_json(text) if text.lstrip().startswith("{") else _from_pem(text)
    if not 0 < len(keys) <= MOST:
        raise ValueError(f"wants 1 to {MOST} private keys")
    return keys


def _from_pem(text: str) -> list[EllipticCurvePrivateKey]:
    # Consoles that take one line get the line breaks written out.
    blocks = PEM.findall(text.replace("\\n", "\n"))
    return [_loaded(block.encode()) for block in blocks]


def _loaded(block: bytes) -> EllipticCurvePrivateKey:
    # A fifth of a second, which only those pay who forward runs.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return _p256(load_pem_private_key(block, password=None))
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("a private key cannot be read") from error


def _from_json(text: str) -> list[EllipticCurvePrivateKey]:
    from jwt import PyJWK, PyJWTError

    try:
        document = json.loads(text)
        members = document.get("keys", [document])
        return [_p256(PyJWK(each, "ES256").key) for each in members]
    # AttributeError, TypeError: the library decodes members without looking at their types first.
    except (PyJWTError, AttributeError, TypeError) as error:
        raise ValueError("a key is no JWK") from error


def _p256(key: object) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError("a key is no private key on P-256")
