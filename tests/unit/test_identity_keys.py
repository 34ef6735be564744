from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm

from foundation.identity.jwks import lifetime_s
from foundation.identity.keys import KeySetError, read_key_set
from tests.support.tokens import TokenForge, public_jwk

# Any: a JWK under test may hold any JSON.
Jwk = dict[str, Any]


@pytest.fixture(scope="module")
def forge() -> TokenForge:
    return TokenForge(issuer="https://p.supabase.co/auth/v1")


def usable(*jwks: object) -> dict[str, str]:
    keys = read_key_set(json.dumps({"keys": jwks}).encode())
    return {kid: key.algorithm for kid, key in keys.items()}


def test_the_key_says_the_algorithm(forge: TokenForge) -> None:
    assert usable(*forge.jwks()["keys"]) == {"es-1": "ES256", "rs-1": "RS256"}


def test_a_key_may_leave_out_what_it_is_for(forge: TokenForge) -> None:
    jwk = {name: forge.jwks()["keys"][0][name] for name in ("kty", "crv", "x", "y", "kid")}

    assert usable(jwk) == {"es-1": "ES256"}


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": 1},
        {"kid": None},
        {"kid": ""},
        {"kid": 5},
        {"kid": "k" * 257},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"x": None},
        {"x": 1},
        {"d": "AAAA"},
    ],
)
def test_an_unusable_key_is_passed_over(forge: TokenForge, changes: Jwk) -> None:
    es_jwk, rs_jwk = forge.jwks()["keys"]

    assert usable(es_jwk | changes, rs_jwk) == {"rs-1": "RS256"}


def test_a_point_off_the_curve_is_passed_over(forge: TokenForge) -> None:
    es_jwk = forge.jwks()["keys"][0]

    assert usable(es_jwk | {"y": es_jwk["x"]}) == {}


def test_a_short_rsa_key_is_passed_over() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505

    assert usable(public_jwk(weak, kid="weak", alg="RS256")) == {}


def test_another_curve_is_passed_over() -> None:
    key = ec.generate_private_key(ec.SECP384R1())

    assert usable({**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "p384"}) == {}


def test_the_first_of_two_keys_with_one_name_counts(forge: TokenForge) -> None:
    es_jwk, rs_jwk = forge.jwks()["keys"]

    assert usable(es_jwk, rs_jwk | {"kid": "es-1"}) == {"es-1": "ES256"}


def test_a_project_without_public_keys_publishes_an_empty_set() -> None:
    assert read_key_set(b'{"keys": []}') == {}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"\xff",
        json.dumps({"keys": [{}] * 51}).encode(),
    ],
)
def test_a_document_that_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(KeySetError):
        read_key_set(document)


@pytest.mark.parametrize("member", [None, 1, "key", [], {}])
def test_nonsense_among_the_keys_is_passed_over(forge: TokenForge, member: object) -> None:
    assert usable(member, forge.jwks()["keys"][0]) == {"es-1": "ES256"}


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, 600),
        ("", 600),
        ("public, max-age=900", 900),
        ("max-age=0", 60),
        ("max-age=59, public", 60),
        ("MAX-AGE=99999", 3600),
        ("s-maxage=120", 600),
        ("x-max-age=120", 600),
        ("max-age=-5", 600),
        ("max-age=soon", 600),
        ("max-age=" + "9" * 400, 600),
        ("no-store", 600),
    ],
)
def test_the_lifetime_of_a_key_set_is_its_max_age_within_bounds(
    cache_control: str | None, seconds: int
) -> None:
    assert lifetime_s(cache_control) == seconds
