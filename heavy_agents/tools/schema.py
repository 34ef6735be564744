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

__all__ = ["SchemaCheck"]

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_SCHEMA_DEPTH: Final = 32
MAX_SUBSCHEMAS: Final = 2_000
MOST_PROBLEMS: Final = 10

# A part with either would be judged by the library's own rules, which fetch and match.
IDENTITIES: Final = ("$schema", "$id")
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
TOO_MUCH: Final = "is too much to check against its schema; send less"
UNUSABLE: Final = "cannot be checked: the schema leads in a circle or to something that is no schema"


class SchemaCheck:
    """One schema, ready to judge values. Building it loads a library and may take 0.1 s: use a thread."""

    def __init__(self, schema: dict[str, Json]) -> None:
        """
        Raises:
            ValueError: with a sentence that says what is wrong with the schema.
        """
        _check_size(schema)
        self._schema = {name: each for name, each in schema.items() if name not in IDENTITIES}
        self._is_draft_7 = "draft-07" in str(schema.get("$schema", ""))
        _check_parts(self._schema)
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


def _check_size(schema: dict[str, Json]) -> None:
    if is_deeper(schema, MAX_SCHEMA_DEPTH):
        raise ValueError(f"the schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")
    try:
        size_bytes = len(orjson.dumps(schema))
    except TypeError as error:
        raise ValueError("the schema is no JSON") from error
    if size_bytes > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema has {size_bytes} bytes, at most {MAX_SCHEMA_BYTES} are taken")


def _check_parts(schema: dict[str, Json]) -> None:
    parts = [part for part in _walk(schema) if isinstance(part, dict)]
    if len(parts) > MAX_SUBSCHEMAS:
        raise ValueError(f"the schema has {len(parts)} parts, at most {MAX_SUBSCHEMAS} are taken")
    for part in parts:
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
    parts = (part for part in _walk(schema) if isinstance(part, dict))
    targets = {target for part in parts for name in REFERENCES if isinstance(target := part.get(name), str)}
    if lost := leading_nowhere(schema, targets, is_draft_7=is_draft_7):
        raise ValueError(f"a reference leads nowhere: {min(lost)[:80]}")


def _walk(schema: Json) -> Iterator[Json]:
    waiting = [schema]
    while waiting:
        yield (part := waiting.pop())
        waiting += children(part)
