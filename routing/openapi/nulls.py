"""Nulls in examples: the framework drops every one of them from the document, so they travel under a name."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["hide_nulls", "show_nulls"]

NULL: Final = "urn:switchyard:null"


# Any: JSON.
def hide_nulls(example: Any) -> Any:
    return _exchanged(example, None, NULL)


# Any: JSON.
def show_nulls(document: Any) -> Any:
    return _exchanged(document, NULL, None)


# Any: JSON.
def _exchanged(value: Any, found: str | None, wanted: str | None) -> Any:
    match value:
        case dict():
            return {key: _exchanged(each, found, wanted) for key, each in value.items()}
        case list():
            return [_exchanged(each, found, wanted) for each in value]
        case _:
            return wanted if value == found else value
