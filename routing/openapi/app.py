"""The application that describes itself: what FastAPI finds in the routes, and what no route declares."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from routing.answers import ANSWERS
from routing.models import BODIES
from routing.openapi.nulls import show_nulls
from routing.openapi.problems import COMPONENT, problem_models
from routing.openapi.security import pair_service
from routing.openapi.sharing import share_responses

__all__ = ["DescribedApp"]

# Any: pieces of an OpenAPI document, as FastAPI takes them.
Piece = dict[str, Any]


class DescribedApp(FastAPI):
    """Adds to the description the models that no route declares as a parameter."""

    def openapi(self) -> Piece:
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if not is_made:
            schemas = document["components"].setdefault("schemas", {})
            schemas.update(_by_hand())
            _leave_out_framework_errors(document["paths"], schemas)
            pair_service(document)
            share_responses(document)
            self.openapi_schema = document = show_nulls(document)
        return document


def _leave_out_framework_errors(paths: Piece, schemas: Piece) -> None:
    """The framework describes a refusal of its own for every parameter; ours are problems (400)."""
    for route in paths.values():
        for operation in route.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _by_hand() -> Piece:
    bodies = [(model, "validation") for model in BODIES]
    problems = [(model, "serialization") for model in problem_models()]
    answers = [(model, "serialization") for model in ANSWERS]
    _, document = models_json_schema([*bodies, *problems, *answers], by_alias=True, ref_template=COMPONENT)  # type: ignore[list-item]
    definitions: Piece = document["$defs"]
    return definitions
