"""How the API describes itself: what problems a route has, and the bodies that are read by hand."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from routing.answers import ProblemDocument
from routing.models import ConversationBody, ExecuteBody, KeyBody, ValidatedBody

__all__ = ["DescribedApp", "json_body", "problems", "streamed"]

# Any: pieces of an OpenAPI document, as FastAPI takes them.
Piece = dict[str, Any]

BODIES: Final = (ConversationBody, ExecuteBody, KeyBody, ValidatedBody)
COMPONENT: Final = "#/components/schemas/{model}"


class DescribedApp(FastAPI):
    """Adds to the description the models that no route declares as a parameter."""

    def openapi(self) -> Piece:
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if not is_made:
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(_by_hand())
            _leave_out_framework_errors(document["paths"], schemas)
        return document


def problems(*statuses: int) -> dict[int | str, Piece]:
    """The problem documents a route may answer, by status."""
    schema = {"$ref": COMPONENT.format(model=ProblemDocument.__name__)}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def streamed(description: str) -> Piece:
    """A 200 that may also be a stream of events."""
    example = 'id: 1\ndata: {"type":"started","runId":"…","seq":1,"agentId":"…"}\n\n'
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": example}}
    return {"description": description, "content": content}


def json_body(model: str, example: Mapping[str, object]) -> Piece:
    """The request body of a route that reads it by hand."""
    content = {"schema": {"$ref": COMPONENT.format(model=model)}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


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
    models = [*bodies, (ProblemDocument, "serialization")]
    _, document = models_json_schema(models, by_alias=True, ref_template=COMPONENT)  # type: ignore[arg-type]
    definitions: Piece = document["$defs"]
    return definitions
