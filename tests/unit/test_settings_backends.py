"""The settings about other backends: how they are spelt, what belongs together, which keys are taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm

from foundation.settings import Settings, SettingsError, load, read_forwarding_keys
from tests.support.forwarding import as_jwk, as_pem, fresh_key

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://u:p@db.example/app",
    "SUPABASE_URL": "https://ref.supabase.co/",
    "RAILWAY_BACKEND_SECRET": "r" * 32,
    "METRICS_TOKEN": "m" * 16,
}
KEY = as_pem(fresh_key())


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, in a folder without `.env`."""
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", ()):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load()


def mistakes(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        loaded(monkeypatch, **variables)
    return refused.value.lines


def test_addresses_are_kept_as_they_are_always_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        PUBLIC_URL="https://Me.Example:443/",
        ALLOWED_BACKENDS="https://other.example/, https://OTHER.example",
        TRUSTED_BACKENDS="https://other.example:8443",
    )

    assert settings.public_url == "https://me.example"
    assert settings.allowed_backends == ("https://other.example",)
    assert settings.trusted_backends == ("https://other.example:8443",)


@pytest.mark.parametrize("name", ["PUBLIC_URL", "ALLOWED_BACKENDS", "TRUSTED_BACKENDS", "PRIVATE_BACKENDS"])
@pytest.mark.parametrize("value", ["http://other.example", "https://other.example/api", "https://10.0.0.1:0"])
def test_what_is_no_origin_is_a_mistake(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    (line,) = mistakes(monkeypatch, **{name: value})

    assert line.startswith(f"{name}: got ")
    assert "https://" in line


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ({"ALLOWED_BACKENDS": "https://other.example"}, ["FORWARDING_KEY", "PUBLIC_URL"]),
        (
            {"ALLOWED_BACKENDS": "https://other.example", "PUBLIC_URL": "https://me.example"},
            ["FORWARDING_KEY"],
        ),
        ({"ALLOWED_BACKENDS": "https://other.example", "FORWARDING_KEY": KEY}, ["PUBLIC_URL"]),
        ({"TRUSTED_BACKENDS": "https://other.example"}, ["PUBLIC_URL"]),
    ],
)
def test_production_does_not_start_with_half_of_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], lacks: list[str]
) -> None:
    lines = mistakes(monkeypatch, **PRODUCTION, **given)

    assert [line.partition(":")[0] for line in lines] == lacks


def test_development_starts_with_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, ALLOWED_BACKENDS="https://other.example").forwarding_key is None


@pytest.mark.parametrize("write", [as_pem, as_jwk, lambda key: as_pem(key).replace("\n", "\\n")])
def test_a_key_is_read_however_it_is_written(write: object) -> None:
    key = fresh_key()
    assert callable(write)

    (read,) = read_forwarding_keys(write(key))

    assert read.private_numbers() == key.private_numbers()


def test_several_keys_keep_their_order() -> None:
    first, second = fresh_key(), fresh_key()
    as_set = json.dumps({"keys": [json.loads(as_jwk(first)), json.loads(as_jwk(second))]})

    for text in (as_pem(first) + as_pem(second), as_set):
        read = read_forwarding_keys(text)
        assert [each.private_numbers() for each in read] == [
            first.private_numbers(),
            second.private_numbers(),
        ]


def refused() -> list[str]:
    public = fresh_key().public_key()
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return [
        "short-secret",
        "{short-secret",
        '{"keys": []}',
        '{"keys": "short-secret"}',
        '{"kty": "EC", "crv": "P-256", "d": "short-secret"}',
        json.dumps(ECAlgorithm.to_jwk(public, as_dict=True)),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        rsa_key.private_bytes(*private).decode(),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(*private).decode(),
        "-----BEGIN PRIVATE KEY-----\nshort-secret\n-----END PRIVATE KEY-----",
        "".join(as_pem(fresh_key()) for _ in range(6)),
    ]


@pytest.mark.parametrize("text", refused())
def test_what_is_no_private_key_on_p256_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (line,) = mistakes(monkeypatch, FORWARDING_KEY=text)

    assert line.startswith("FORWARDING_KEY: got something else, wants private P-256 keys")
    assert "short-secret" not in line


@pytest.mark.parametrize("name", ["absent.pem", "empty.pem", "."])
def test_a_file_of_authorities_must_hold_some(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path("empty.pem").touch()

    (line,) = mistakes(monkeypatch, EXTRA_CA_FILE=name)

    assert line.startswith(f"EXTRA_CA_FILE: got '{name}'")
