"""Whether a value fits a JSON Schema, when a stranger may have written both.

A schema can name remote documents, lead back to itself, double its work with every line, or carry a regular
expression that never ends. So: nothing is fetched, because only references to a place inside the document
(`#/…`) are taken; text is not matched, because `pattern`, `patternProperties` and `format` say nothing here;
and each check may take a fixed number of steps, half a second at most. A value that passes here may still be
refused by whoever receives it.

Source: JSON Schema draft 2020-12; draft 7 for documents that say so in `$schema`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import orjson

from foundation.errors import Json
from heavy_agents.tools.nesting import children, is_deeper

__all__ = ["SchemaCheck", "check_bounds"]

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_SCHEMA_DEPTH: Final = 32
MAX_PARTS: Final = 1_000
MOST_PROBLEMS: Final = 10

# A part with either would be judged by the library's own rules, which fetch and match.
IDENTITIES: Final = ("$schema", "$id")
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
TOO_MUCH: Final = "is too much to check against its schema; send less"
UNUSABLE: Final = "cannot be checked: the schema leads in a circle or to something that is no schema"


class SchemaCheck:
    """One schema, ready to judge values. Building it loads a library and may take 0.5 s: use a thread."""

    def __init__(self, schema: dict[str, Json]) -> None:
        """
        Raises:
            ValueError: with a sentence that says what is wrong with the schema.
        """
        check_bounds(schema)
        self._schema = _without_identities(schema)
        self._is_draft_7 = "draft-07" in str(schema.get("$schema", ""))
        _check_rules(self._schema, is_draft_7=self._is_draft_7)

    def problems(self, value: Json) -> list[str]:
        """What is wrong with `value`, at most ten sentences, each with its path; none if it fits."""
        from heavy_agents.tools.schema_rules import TooManySteps, mistakes

        found: list[str] = []
        try:
            found.extend(islice(mistakes(self._schema, value, is_draft_7=self._is_draft_7), MOST_PROBLEMS))
        except TooManySteps:
            found.append(TOO_MUCH)
        # A reference may lead to any part of the document, on which the library fails in its own ways.
        except Exception:
            found.append(UNUSABLE)
        return found


def check_bounds(schema: dict[str, Json]) -> None:
    """Refuse a schema that is too large or leads out of itself. Quick, and no promise that it is valid.

    Raises:
        ValueError: with a sentence that says what is wrong with the schema.
    """
    _check_size(schema)
    inside = _without_identities(schema)
    _check_count(inside)
    _check_references(inside)


def _without_identities(schema: dict[str, Json]) -> dict[str, Json]:
    return {name: each for name, each in schema.items() if name not in IDENTITIES}


def _check_size(schema: dict[str, Json]) -> None:
    if is_deeper(schema, MAX_SCHEMA_DEPTH):
        raise ValueError(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    try:
        size_bytes = len(orjson.dumps(schema))
    except TypeError as error:
        raise ValueError("the schema is no JSON") from error
    if size_bytes > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema has {size_bytes} bytes, at most {MAX_SCHEMA_BYTES} are taken")


def _check_count(schema: dict[str, Json]) -> None:
    # `true` and `false` are schemas too, and take the library as long.
    count = sum(isinstance(part, dict | bool) for part in _walk(schema))
    if count > MAX_PARTS:
        raise ValueError(f"the schema has {count} parts, at most {MAX_PARTS} are taken")


def _check_references(schema: dict[str, Json]) -> None:
    for part in _objects(schema):
        for name in IDENTITIES:
            if name in part and not isinstance(part[name], dict):
                raise ValueError(f"{name} is only taken at the top of the schema")
        for name in REFERENCES:
            if isinstance(target := part.get(name), str) and target != "#" and not target.startswith("#/"):
                raise ValueError(f"{name} may only lead to a place in the same schema (#/…): {target[:80]}")


def _check_rules(schema: dict[str, Json], *, is_draft_7: bool) -> None:
    from heavy_agents.tools.schema_rules import first_mistake, leading_nowhere

    if (mistake := first_mistake(schema, is_draft_7=is_draft_7)) is not None:
        raise ValueError(f"the schema is not valid: {mistake}")
    targets = {
        target
        for part in _objects(schema)
        for name in REFERENCES
        if isinstance(target := part.get(name), str)
    }
    if lost := leading_nowhere(schema, targets, is_draft_7=is_draft_7):
        raise ValueError(f"a reference leads nowhere: {min(lost)[:80]}")


def _objects(schema: Json) -> Iterator[dict[str, Json]]:
    return (part for part in _walk(schema) if isinstance(part, dict))


def _walk(schema: Json) -> Iterator[Json]:
    waiting = [schema]
    while waiting:
        yield (part := waiting.pop())
        waiting += children(part)
