"""The token that `token` would print in a process of these settings, without starting one."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from foundation.errors import NotConfigured
from foundation.identity import issue_development_token
from foundation.settings import Settings

__all__ = ["development_token"]


class _Told(Settings):
    """Nothing but what it is told: a developer's own settings must not reach a test."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def development_token(settings: Mapping[str, str], user: UUID) -> str | None:
    """None where a project issues the tokens, or the environment is one of production."""
    # The variables' names are aliases that the type does not know.
    told = _Told(**settings)  # type: ignore[arg-type]
    try:
        return issue_development_token(told, user)
    except NotConfigured:
        return None
