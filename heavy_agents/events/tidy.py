"""Making a value fit to be stored: what Postgres or JSON cannot hold is replaced, not refused.

A NUL character makes `jsonb` fail, a lone surrogate is no UTF-8, NaN and infinity are no JSON. A tool or a
model may well produce them, and one such event must not stop a run.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from foundation.errors import Json

__all__ = ["MAX_EVENT_BYTES", "EventTooLarge", "encode", "tidy"]

MAX_EVENT_BYTES = 64 * 1024
# What JSON written by orjson can hold.
MIN_INT, MAX_INT = -(2**63), 2**64 - 1
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class EventTooLarge(ValueError):
    """An event over 64 kB; large results belong in artifacts."""

    def __init__(self, type_: str, size_bytes: int) -> None:
        super().__init__(
            f"event {type_!r} has {size_bytes} bytes, at most {MAX_EVENT_BYTES} are taken; use an artifact"
        )


# Any: an agent may hand over whatever it has; what cannot be JSON is refused here.
def tidy(value: Any) -> Json:
    """A copy of `value` that JSON and Postgres can hold.

    Raises:
        TypeError: something in it is no JSON value, or it is nested too deeply to be stored.
    """
    try:
        return _tidied(value)
    except RecursionError:
        raise TypeError("the value is nested too deeply") from None


def encode(value: Json) -> bytes:
    """Raises TypeError: it is nested deeper than 250 levels."""
    return orjson.dumps(value)


# Any: as `tidy`.
def _tidied(value: Any) -> Json:
    match value:
        case str():
            return _text(value)
        case bool() | None:
            return value
        case int():
            return value if MIN_INT <= value <= MAX_INT else str(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_text(str(key)): _tidied(each) for key, each in value.items()}
        case list() | tuple():
            return [_tidied(each) for each in value]
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _text(text: str) -> str:
    text = text.replace("\x00", REPLACEMENT)
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
