"""What is wrong with which field of a body, and how a field is called: `messages[0].content`.

Pure. Also what no field may have: a NUL character, which Postgres cannot keep, and more nesting than any
honest document has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Final, get_args

from pydantic import BaseModel

from foundation.errors import FieldError, Json

__all__ = ["MAX_DEPTH", "MAX_ERRORS", "field_errors", "field_path", "first_mistake"]

MAX_DEPTH: Final = 64
MAX_ERRORS: Final = 50
UNKNOWN: Final = "is not a field of this request; check its spelling"

# By pydantic's name for what is wrong; what is not here it says well enough itself.
SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": UNKNOWN,
    "uuid_parsing": "wants a UUID, as text",
    "uuid_type": "wants a UUID, as text",
    "dict_type": "wants a JSON object",
    "list_type": "wants a list",
    "bool_type": "wants true or false",
    "int_type": "wants a whole number",
    "float_type": "wants a number",
    "string_type": "wants text",
}

Path = tuple[str | int, ...]


# Any: pydantic's error dictionaries.
def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Pydantic's errors, in our words where its own say little."""
    return [FieldError(field_path(error["loc"]), _sentence(error)) for error in islice(errors, MAX_ERRORS)]


def unknown_fields(document: dict[str, Json], model: type[BaseModel]) -> list[FieldError]:
    """The fields that `model` and the objects in it do not have, at most `MAX_ERRORS`.

    Asked before the model is, which would describe every one of them: a million take it many seconds.
    """
    strangers = _strangers(document, model, path=())
    return [FieldError(field_path(path), UNKNOWN) for path in islice(strangers, MAX_ERRORS)]


def _strangers(document: dict[str, Json], model: type[BaseModel], *, path: Path) -> Iterator[Path]:
    names = _names(model)
    if model.model_config.get("extra") == "forbid":
        yield from ((*path, key) for key in document if key not in names)
    for name, inner in names.items():
        value = document.get(name)
        if inner is None:
            continue
        if isinstance(value, dict):
            yield from _strangers(value, inner, path=(*path, name))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _strangers(item, inner, path=(*path, name, number))


@cache
def _names(model: type[BaseModel]) -> Mapping[str, type[BaseModel] | None]:
    """The fields of `model` as they are written, each with the model that it or its items are to be."""
    return {
        field.alias or name: next(_models_in(field.annotation), None)
        for name, field in model.model_fields.items()
    }


# Any: an annotation is whatever Python takes for one.
def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models an annotation names: itself, or in a list, an optional, or both."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def field_path(location: Iterable[str | int]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def first_mistake(document: dict[str, Json]) -> FieldError | None:
    """The first text with a NUL in it, or the first place nested deeper than `MAX_DEPTH`."""
    waiting: list[tuple[Path, Json]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        match value:
            case str() if "\x00" in value:
                return FieldError(field_path(path), "holds a NUL character, which cannot be stored")
            case dict() | list() if len(path) >= MAX_DEPTH:
                return FieldError(field_path(path[:3]), f"is nested deeper than {MAX_DEPTH} levels")
            case dict():
                if any("\x00" in key for key in value):
                    return FieldError(field_path(path), "has a name with a NUL character in it")
                waiting.extend(_worth_a_look(path, value.items()))
            case list():
                waiting.extend(_worth_a_look(path, enumerate(value)))
            case _:
                pass
    return None


def _worth_a_look(path: Path, items: Iterable[tuple[str | int, Json]]) -> Iterator[tuple[Path, Json]]:
    """Numbers and the like cannot be wrong, and a series has a hundred thousand of them."""
    for key, value in items:
        if isinstance(value, dict | list) or (isinstance(value, str) and "\x00" in value):
            yield (*path, key), value


# Any: as `field_errors`.
def _sentence(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    message = str(error["msg"])
    return SENTENCES.get(kind, message[:1].lower() + message[1:])
