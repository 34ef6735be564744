"""What other backends there are: whom runs are forwarded to, whose runs are taken, and what we are called."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol

from pydantic import field_validator
from pydantic_settings import BaseSettings

from foundation.origins import read_origin
from foundation.settings.variables import Names, Place, Secret, Url, variable

__all__ = ["BackendSettings", "missing_for_backends"]


class BackendSettings(BaseSettings):
    """Addresses are origins, https and a name, and are kept as they are always spelt."""

    public_url: Url = variable(
        None, "this backend's own address, https://backend.example, as other backends know it", "PUBLIC_URL"
    )
    allowed_backends: Names = variable(
        (), "origins runs may be forwarded to, with commas, https://other.example", "ALLOWED_BACKENDS"
    )
    forwarding_key: Secret = variable(
        None,
        "private P-256 keys, PEM or JWK, that forwarded runs are signed with; the first signs",
        "FORWARDING_KEY",
    )
    trusted_backends: Names = variable(
        (), "origins of backends whose runs are taken, with commas, https://other.example", "TRUSTED_BACKENDS"
    )
    private_backends: Names = variable(
        (),
        "origins of these whose addresses may be private, with commas, https://other.internal",
        "PRIVATE_BACKENDS",
    )
    backend_runs_per_minute: int = variable(
        300,
        "runs one trusted backend may start a minute, 1 to 100000",
        "BACKEND_RUNS_PER_MINUTE",
        ge=1,
        le=100_000,
    )
    backend_silence_seconds: float = variable(
        45,
        "seconds another backend's stream may be silent, 1 to 3600",
        "BACKEND_SILENCE_SECONDS",
        ge=1,
        le=3600,
    )
    backend_patience_seconds: float = variable(
        120,
        "seconds another backend may be away in the middle of a run, 1 to 3600",
        "BACKEND_PATIENCE_SECONDS",
        ge=1,
        le=3600,
    )
    extra_ca_file: Place = variable(
        None, "a PEM file of certificate authorities to trust beside the usual ones", "EXTRA_CA_FILE"
    )

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        return None if value is None else _origin(value)

    @field_validator("allowed_backends", "trusted_backends", "private_backends")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_origin, value)))

    @field_validator("extra_ca_file")
    @classmethod
    def _is_bundle(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
            except OSError as error:  # a file that holds no certificate is one, too
                raise ValueError from error
        return value


class Given(Protocol):
    """What is looked at of the settings."""

    @property
    def public_url(self) -> str | None: ...
    @property
    def allowed_backends(self) -> tuple[str, ...]: ...
    @property
    def trusted_backends(self) -> tuple[str, ...]: ...
    @property
    def forwarding_key(self) -> Secret: ...


def missing_for_backends(settings: Given) -> list[str]:
    """A line for each variable without which those that are set are of no use."""
    needed: list[str] = []
    if settings.allowed_backends and settings.forwarding_key is None:
        needed.append(
            "FORWARDING_KEY: not set, wants a private P-256 key to sign what ALLOWED_BACKENDS are sent"
        )
    if settings.public_url is None and (settings.allowed_backends or settings.trusted_backends):
        named = "ALLOWED_BACKENDS" if settings.allowed_backends else "TRUSTED_BACKENDS"
        needed.append(f"PUBLIC_URL: not set, wants the address by which {named} know this backend")
    return needed


def _origin(address: str) -> str:
    if (origin := read_origin(address)) is None:
        raise ValueError
    return origin
