"""How deep a JSON value is nested, told without recursion, because it may be a stranger's."""

from __future__ import annotations

from foundation.errors import Json

__all__ = ["children", "is_deeper"]


def is_deeper(value: Json, levels: int) -> bool:
    """Whether lists and objects in `value` lie more than `levels` deep in each other; `[]` is one level."""
    floor = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        floor = [each for container in floor for each in children(container) if isinstance(each, dict | list)]
        if not floor:
            return False
    return bool(floor)


def children(value: Json) -> list[Json]:
    """What is right inside a list or an object."""
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return []
