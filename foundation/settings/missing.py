"""What must be set beside what is set: a database for some, secrets in production."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from foundation.settings.variables import Role

__all__ = ["Given", "missing"]


class Given(Protocol):
    """What is looked at of the settings."""

    @property
    def role(self) -> Role: ...
    @property
    def is_production(self) -> bool: ...
    @property
    def database_url(self) -> str | None: ...
    @property
    def allow_embedded(self) -> bool: ...
    @property
    def supabase_url(self) -> str | None: ...
    @property
    def supabase_secret_key(self) -> SecretStr | None: ...
    @property
    def is_embedded(self) -> bool: ...
    @property
    def supabase_jwt_secret(self) -> SecretStr | None: ...
    @property
    def railway_backend_secret(self) -> SecretStr | None: ...
    @property
    def metrics_token(self) -> SecretStr | None: ...


def missing(settings: Given) -> list[str]:
    """A line for each variable that must be set beside those that are."""
    needed = _of_database(settings) if settings.is_embedded else []
    if not settings.is_production:
        return needed
    wants = {
        "DATABASE_URL: not set, wants a postgresql:// connection string (or ALLOW_EMBEDDED=1)": (
            not settings.is_embedded or settings.allow_embedded
        ),
        "SUPABASE_URL: not set, wants the project's address (or SUPABASE_JWT_SECRET for legacy keys)": (
            settings.supabase_url or settings.supabase_jwt_secret
        ),
        "RAILWAY_BACKEND_SECRET: not set, wants a shared secret of at least 32 characters": (
            settings.railway_backend_secret
        ),
        "METRICS_TOKEN: not set, wants a token of at least 16 characters": settings.metrics_token,
    }
    return needed + [line for line, value in wants.items() if not value]


def _of_database(settings: Given) -> list[str]:
    """Of a server without one: what it was given half of, or needs for its part."""
    if settings.supabase_url is not None:
        return [
            "DATABASE_URL: not set, wants the Postgres connection string of the project in SUPABASE_URL"
            " (or SUPABASE_SECRET_KEY)"
        ]
    if settings.supabase_secret_key is not None:
        return ["SUPABASE_URL: not set, wants the address of the project whose key is in SUPABASE_SECRET_KEY"]
    if settings.role is not Role.ALL:
        return [f"DATABASE_URL: not set, wants the database that ROLE={settings.role} shares with the others"]
    return []
