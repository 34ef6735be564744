"""Keys that forwarded runs are signed with, in every form an operator may write them."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

__all__ = ["as_jwk", "as_pem", "fresh_key"]


def fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def as_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def as_jwk(key: ec.EllipticCurvePrivateKey) -> str:
    return json.dumps(ECAlgorithm.to_jwk(key, as_dict=True))
