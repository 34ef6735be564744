"""A JSON value made to fit a number of bytes, so that a reader sees both what it is and that it was cut."""

from __future__ import annotations

from itertools import islice
from typing import Final

import orjson

from foundation.errors import Json

__all__ = ["MAX_SHOWN_BYTES", "shorten", "size_bytes"]

# What an event shows a person of one value.
MAX_SHOWN_BYTES: Final = 4 * 1024

# From a long text in few places to a short one everywhere.
SHARES: Final = (2, 4, 8, 16, 32, 64, 128, 256)
MIN_CHARS, MIN_ELEMENTS, MAX_LEVELS = 24, 3, 8
CHARS_AN_ELEMENT: Final = 16
ROOM_BYTES: Final = 200


def size_bytes(value: Json) -> int:
    return len(orjson.dumps(value))


def shorten(value: Json, max_bytes: int) -> Json:
    """`value` itself if its JSON has at most `max_bytes`, else a shorter one of the same shape.

    What was cut says how much is missing. If the shape alone is too large, the beginning of its JSON is left.

    Args:
        max_bytes: at least 256.
    """
    size = size_bytes(value)
    if size <= max_bytes:
        return value
    for share in SHARES:
        cut = _cut(value, max(MIN_CHARS, max_bytes // share), levels=MAX_LEVELS)
        if size_bytes(cut) <= max_bytes:
            return cut
    return _beginning(orjson.dumps(value), max_bytes)


def _cut(value: Json, chars: int, *, levels: int) -> Json:
    elements = max(MIN_ELEMENTS, chars // CHARS_AN_ELEMENT)
    match value:
        case str() if len(value) > chars:
            return f"{value[:chars]}… [{len(value) - chars} more characters]"
        case dict() | list() if levels == 0 and value:
            return f"… [{len(value)} more]"
        case list():
            kept = [_cut(each, chars, levels=levels - 1) for each in value[:elements]]
            return kept if len(value) <= elements else [*kept, f"… [{len(value) - elements} more]"]
        case dict():
            first = islice(value.items(), elements)
            named = {_name(name): _cut(each, chars, levels=levels - 1) for name, each in first}
            return named if len(value) <= elements else named | {"…": f"[{len(value) - elements} more]"}
        case _:
            return value


def _name(name: str) -> str:
    return name if len(name) <= 2 * MIN_CHARS else name[: 2 * MIN_CHARS] + "…"


def _beginning(encoded: bytes, max_bytes: int) -> Json:
    """As text, which inside JSON may take more bytes than it has: a quote two, a control character six."""
    kept_bytes = max_bytes - ROOM_BYTES
    while True:
        text = encoded[:kept_bytes].decode("utf-8", "ignore")
        cut: Json = {"truncated": True, "bytes": len(encoded), "beginning": text}
        if size_bytes(cut) <= max_bytes:
            return cut
        kept_bytes = kept_bytes * 3 // 4
