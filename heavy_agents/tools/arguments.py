"""The arguments of a call as the model wrote them: text that may be broken, huge or endlessly nested."""

from __future__ import annotations

from typing import Final

import orjson

from foundation.errors import Json
from heavy_agents.events import tidy
from heavy_agents.tools.nesting import is_deeper
from heavy_agents.tools.shorten import MAX_SHOWN_BYTES, shorten
from heavy_agents.tools.tool import BadArguments

__all__ = ["read_arguments", "shown_arguments"]

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64


def read_arguments(text: str) -> dict[str, Json]:
    """The object in `text`; an empty text is an empty object, as models write it for tools without arguments.

    Raises:
        BadArguments: with what would be right.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise BadArguments(f"the arguments have more than {MAX_BYTES} bytes; send less")
    arguments = _read(text)
    if not isinstance(arguments, dict):
        raise BadArguments(f"the arguments are {_kind(arguments)}; send one JSON object")
    if is_deeper(arguments, MAX_DEPTH):
        raise BadArguments(f"the arguments are nested deeper than {MAX_DEPTH} levels; send a flatter object")
    return arguments


def shown_arguments(text: str) -> Json:
    """What a person sees of them, at most 4 kB and visibly cut: the object, or the text if it is none."""
    try:
        arguments: Json = read_arguments(text)
    except BadArguments:
        arguments = text
    return shorten(tidy(arguments), MAX_SHOWN_BYTES)


def _read(text: str) -> Json:
    if not text.strip():
        return {}
    try:
        read: Json = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadArguments(f"the arguments are no valid JSON ({error}); send one JSON object") from error
    return read


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case list():
            return "a list"
        case str():
            return "a text"
        case bool():
            return "true or false"
        case _:
            return "a number"
