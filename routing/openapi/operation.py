"""What one operation says of itself, as the arguments FastAPI takes for a route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from foundation.errors import HeavyError, NotFound, RateLimited
from routing.openapi.headers import headers
from routing.openapi.nulls import hide_nulls
from routing.openapi.problems import COMPONENT, MEDIA_TYPE, Piece, problems, run_failures

__all__ = ["Answer", "json_body", "operation"]

# Also said before anybody was counted: the head cannot be read or is too large, or the fault is ours.
UNCOUNTED = frozenset({400, 431, 500})


# Any: an example is any JSON.
@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers when it is not a problem.

    model, example: of its JSON; none of both for an empty answer.
    always, sometimes: the headers of its own.
    other: its content by other media types.
    """

    description: str
    status: int = 200
    model: type[BaseModel] | None = None
    example: Any = None
    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    other: Mapping[str, Piece] = field(default_factory=dict)

    def described(self) -> Piece:
        piece: Piece = {
            "description": self.description,
            "headers": headers(self.always, self.sometimes),
        }
        content = dict(self.other)
        if self.model is not None:
            schema = {"$ref": COMPONENT.format(model=self.model.__name__)}
            content["application/json"] = {"schema": schema, "example": hide_nulls(self.example)}
        return {**piece, "content": content} if content else piece


# Any: the arguments of `APIRouter.add_api_route`.
def operation(
    operation_id: str,
    *answers: Answer,
    summary: str,
    method: str = "GET",
    errors: Iterable[type[HeavyError]] = (),
    body: Piece | None = None,
    waits_for_run: bool = False,
    is_counted_late: bool = False,
) -> dict[str, Any]:
    """
    Args:
        operation_id: the name of the function in a generated client.
        answers: the usual one first.
        errors: the classes of `foundation.errors` it may answer; internal ones are always added.
        waits_for_run: it may also answer that a run it has waited for failed.
        is_counted_late: who calls is known, and so counted, only when the body has been read.
    """
    kinds = tuple(errors)
    responses: dict[int, Piece] = {each.status: each.described() for each in answers}
    for said in (problems(kinds), run_failures() if waits_for_run else {}):
        for status, piece in said.items():
            responses[status] = _either(responses[status], piece) if status in responses else piece
    uncounted = {*UNCOUNTED, *(kind.status for kind in kinds if kind is NotFound)}
    for status, piece in responses.items():
        is_counted = RateLimited in kinds and status not in uncounted
        _carry(piece, is_counted=is_counted, is_counted_late=is_counted_late)
    return {
        "methods": [method],
        "operation_id": operation_id,
        "summary": summary,
        "status_code": answers[0].status,
        "response_description": answers[0].description,
        # What is answered is described here, not by the class.
        "response_class": Response,
        "response_model": None,
        "responses": responses,
        "openapi_extra": body,
    }


def json_body(model: type[BaseModel], **examples: Mapping[str, object]) -> Piece:
    """The request body of a route that reads it by hand, with examples by name."""
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"schema": {"$ref": COMPONENT.format(model=model.__name__)}, "examples": told}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _either(one: Piece, other: Piece) -> Piece:
    """Two responses of one status: problems of the request, and of the run it has waited for."""
    here, there = one["content"][MEDIA_TYPE], other["content"][MEDIA_TYPE]
    schemas = [*here["schema"].get("oneOf", [here["schema"]]), there["schema"]]
    content = {"schema": {"oneOf": schemas}, "examples": {**here["examples"], **there["examples"]}}
    # What the request's refusals always carry, a run's failure does not.
    optional = {name: {**piece, "required": False} for name, piece in one["headers"].items()}
    description = f"{one['description']} Or: {other['description']}"
    return {"description": description, "headers": optional, "content": {MEDIA_TYPE: content}}


def _carry(piece: Piece, *, is_counted: bool, is_counted_late: bool) -> None:
    """Every answer is named, and tells a caller that was counted what is left."""
    counted = ("RateLimit", "RateLimit-Policy") if is_counted else ()
    always = ("X-Request-Id", *(() if is_counted_late else counted))
    told = headers(always, counted if is_counted_late else ())
    piece["headers"] = {**piece.get("headers", {}), **told}
