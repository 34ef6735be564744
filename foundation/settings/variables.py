"""What one variable can be: lists with commas, secrets, addresses, and the words that choose something."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

__all__ = [
    "CreditsOwner",
    "Environment",
    "Mark",
    "Names",
    "Place",
    "Role",
    "Secret",
    "Url",
    "names_of",
    "variable",
]


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Role(StrEnum):
    """What this process does of the work that front doors and workers can share out."""

    WEB = "web"
    WORKER = "worker"
    ALL = "all"

    @property
    def serves_callers(self) -> bool:
        """Whether the API is answered here."""
        return self is not Role.WORKER

    @property
    def executes_runs(self) -> bool:
        return self is not Role.WEB


class CreditsOwner(StrEnum):
    """Who charges for a run: this backend, the caller (usage is only recorded), or nobody."""

    BACKEND = "backend"
    CALLER = "caller"
    OFF = "off"


def _split(value: object) -> object:
    """`a, b` → `["a", "b"]`: lists are written with commas, as in every hosting console."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _none_if_blank(value: object) -> object:
    """A variable that is set to nothing counts as not set: consoles cannot always remove one."""
    return None if isinstance(value, str) and not value.strip() else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_if_blank)]
Url = Annotated[str | None, BeforeValidator(_none_if_blank)]
Place = Annotated[Path | None, BeforeValidator(_none_if_blank)]
# What a platform says of itself, by setting it at all.
Mark = Annotated[str | None, BeforeValidator(_none_if_blank)]


def variable(default: Any, wants: str, *names: str, **limits: Any) -> Any:  # Any: pydantic's own signature
    return Field(default, description=wants, validation_alias=AliasChoices(*names), **limits)


def names_of(alias: object) -> list[str]:
    """The variables a field is read from, the first before the others."""
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
