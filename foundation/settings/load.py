"""Reading the settings, with a sentence for everything that is wrong with them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from foundation.settings.mistakes import SettingsError
from foundation.settings.settings import Settings
from foundation.settings.shapes import SHAPES
from foundation.settings.variables import Role, names_of

__all__ = ["load"]


def load(*, role: Role | None = None) -> Settings:
    """Read the settings.

    Args:
        role: goes over `ROLE`.

    Raises:
        SettingsError: with every mistake at once.
    """
    given = {} if role is None else {"ROLE": role.value}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # fields are given by the names of their variables
    except ValidationError as error:
        raise SettingsError([_sentence(dict(each)) for each in error.errors()]) from None
    except UnicodeDecodeError:
        raise SettingsError([".env: holds bytes that are not UTF-8, wants UTF-8 text"]) from None


def _sentence(error: dict[str, Any]) -> str:  # Any: pydantic's error dictionary
    """`PORT: got 'many', wants a port number, …`; secrets are not repeated."""
    variable = str(error["loc"][0]).upper()
    name, field = next(
        (
            (name, each)
            for name, each in Settings.model_fields.items()
            if name.upper() == variable or variable in names_of(each.validation_alias)
        ),
        ("", None),
    )
    wants = field.description if field is not None else error["msg"]
    if field is not None and "SecretStr" in str(field.annotation):
        got = "something else" if name in SHAPES else "a value too short"
    elif variable in {"DATABASE_URL", "SUPABASE_DB_URL", "REDIS_URL", "NATS_URL"} or "@" in str(
        error["input"]
    ):
        got = "something else"  # it may hold a password
    else:
        got = repr(str(error["input"])[:80])
    return f"{variable}: got {got}, wants {wants}"
