"""The API's description as a test reads it: what an operation may answer, and whether an answer is that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

__all__ = ["Described"]

# Any: pieces of an OpenAPI document.
Piece = dict[str, Any]

# Any address may answer these, as the description says in its own words.
ANYWHERE: Final = {404: {"not_found"}, 405: {"method_not_allowed"}}


class Described:
    def __init__(self, document: Piece) -> None:
        self.document = document

    def operations(self) -> Iterator[tuple[str, Piece]]:
        """Each as `GET /path`."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation

    def responses(self, operation: str) -> dict[int, Piece]:
        """By status, with nothing left to be looked up; empty for a method the path does not take."""
        method, _, path = operation.partition(" ")
        told = self.document["paths"][path].get(method.lower(), {}).get("responses", {})
        return {int(status): self.resolved(piece) for status, piece in told.items()}

    def resolved(self, piece: Piece) -> Piece:
        while "$ref" in piece:
            found: Any = self.document
            for name in piece["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            piece = found
        return piece

    def codes(self, operation: str, status: int) -> set[str]:
        """The codes a problem of this status may have there."""
        response = self.responses(operation).get(status, {})
        problem = response.get("content", {}).get("application/problem+json")
        listed = set() if problem is None else set(self._codes(problem["schema"]))
        return listed | ANYWHERE.get(status, set())

    # Any: a JSON document.
    def mistakes(self, schema: Piece, value: Any) -> list[str]:
        """Why `value` does not hold to `schema`."""
        whole = {**schema, "components": self.document["components"]}
        validator = Draft202012Validator(whole, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def _codes(self, schema: Piece) -> Iterator[str]:
        schema = self.resolved(schema)
        for part in (*schema.get("oneOf", ()), *schema.get("allOf", ())):
            yield from self._codes(part)
        code = schema.get("properties", {}).get("code", {})
        yield from code.get("enum", code.get("examples", ()))
        if "const" in code:
            yield code["const"]
