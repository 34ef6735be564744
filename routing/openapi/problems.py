"""The problems an operation may answer, by status: shapes, examples and headers, made from the errors.

One component a class of `foundation.errors`, closed and with its own `code`, so that a generated client can
tell them apart. A run that was waited for and failed is a problem too (`RunFailure`), with the run's code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model

from foundation import errors
from foundation.errors import HeavyError, InvalidRequest, Json
from routing.answers import ProblemDocument, RunFailure
from routing.document import problem, problem_fields
from routing.examples import ANSWER
from routing.openapi.headers import headers
from routing.openapi.nulls import hide_nulls
from routing.openapi.samples import FACTS, SAMPLES
from routing.outcomes import CODES_BY_STATUS

__all__ = [
    "COMPONENT",
    "MEDIA_TYPE",
    "OF_BODIES",
    "OF_CALLERS",
    "OF_PATHS",
    "Piece",
    "problem_models",
    "problems",
    "run_failures",
]

# Any: pieces of an OpenAPI document, as FastAPI takes them.
Piece = dict[str, Any]

COMPONENT: Final = "#/components/schemas/{model}"
MEDIA_TYPE: Final = "application/problem+json"

# What may come of finding out who calls, whatever is asked; a server that leaves asks nobody any more.
OF_CALLERS: Final = (
    errors.InvalidRequest,
    errors.ConflictingCredentials,
    errors.InvalidToken,
    errors.RateLimited,
    errors.BackendFailed,
    errors.Draining,
    errors.DatabaseUnavailable,
)
# What may come of an id in a path: with a slash or a line break in it, it is the path of nothing.
OF_PATHS: Final = (errors.NotFound,)
# What may come of reading a body.
OF_BODIES: Final = (
    errors.TooSlow,
    errors.TooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidBody,
)
# Said while the request's head is read, before it is anybody's.
HEAD_TOO_LARGE: Final = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
REQUEST_ID: Final = "5f0c2ab1d94e7a36"


class _Closed(ProblemDocument):
    model_config = ConfigDict(extra="forbid")


def problems(kinds: Iterable[type[HeavyError]]) -> dict[int, Piece]:
    """The responses that say these errors, and those that any request may meet."""
    by_status: dict[int, list[type[HeavyError]]] = {}
    met: list[type[HeavyError]] = [*kinds, errors.InvalidRequest, errors.InternalError]
    for kind in dict.fromkeys(met):
        by_status.setdefault(kind.status, []).append(kind)
    said = {status: _response(status, of_it) for status, of_it in by_status.items()}
    return {**said, HEAD_TOO_LARGE: _head_too_large()}


def run_failures() -> dict[int, Piece]:
    """The responses with which a run that was waited for is answered when it did not succeed."""
    return {status: _run_failed(status, codes) for status, codes in CODES_BY_STATUS.items()}


def problem_models() -> tuple[type[BaseModel], ...]:
    """A model for every error there is, also those that belong to no operation."""
    kinds = (type_of(sample) for sample in SAMPLES)
    return (
        *(_named(_component(kind), kind.code, kind.status, FACTS.get(kind, {})) for kind in kinds),
        _named("HeadTooLargeProblem", InvalidRequest.code, HEAD_TOO_LARGE, {}),
        RunFailure,
    )


def type_of(sample: HeavyError) -> type[HeavyError]:
    """The class of the tree: a sample may be of one that is private to a room."""
    lineage = (each for each in type(sample).__mro__ if issubclass(each, HeavyError))
    return next(each for each in lineage if each.__module__ == errors.__name__)


def _response(status: int, kinds: list[type[HeavyError]]) -> Piece:
    samples = [_sample(kind) for kind in kinds]
    schemas = [{"$ref": COMPONENT.format(model=_component(kind))} for kind in kinds]
    sent = [set(sample.headers()) for sample in samples]
    always = set.intersection(*sent)
    return {
        "description": f"{HTTPStatus(status).phrase}: {_list(kind.code for kind in kinds)}.",
        "headers": headers(sorted(always), sorted(set.union(*sent) - always)),
        "content": _content(schemas, {each.code: problem(each, REQUEST_ID) for each in samples}),
    }


def _run_failed(status: int, codes: Iterable[str]) -> Piece:
    """The codes of 502 may become more: an agent's own failures end there."""
    told = list(codes)
    code: Piece = {"examples": told} if status == HTTPStatus.BAD_GATEWAY else {"enum": told}
    own = {"properties": {"status": {"const": status}, "code": {"type": "string", **code}}}
    component = COMPONENT.format(model=RunFailure.__name__)
    return {
        "description": f"{HTTPStatus(status).phrase}; the run has ended with {_list(told)}.",
        "content": _content(
            [{"allOf": [{"$ref": component}, own]}], {f"run_{told[0]}": _failed_run(status, told[0])}
        ),
    }


def _failed_run(status: int, code: str) -> dict[str, Json]:
    fields = problem_fields(code=code, status=status, detail="the run did not succeed", request_id=REQUEST_ID)
    run_status = "cancelled" if code == "cancelled" else "failed"
    spent: dict[str, Json] = {"response": None, "output": None, "creditsUsed": 0, "artifacts": []}
    failed: dict[str, Json] = hide_nulls({**ANSWER, **spent, "runStatus": run_status, **fields})
    return failed


def _head_too_large() -> Piece:
    detail = "the request line and headers are larger than 32 kB"
    document = problem_fields(
        code=InvalidRequest.code, status=HEAD_TOO_LARGE, detail=detail, request_id=REQUEST_ID
    )
    schema = {"$ref": COMPONENT.format(model="HeadTooLargeProblem")}
    return {
        "description": f"{HEAD_TOO_LARGE.phrase}: `{InvalidRequest.code}`.",
        "content": _content([schema], {InvalidRequest.code: document}),
    }


def _content(schemas: list[Piece], examples: Mapping[str, Mapping[str, Json]]) -> Piece:
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    told = {name: {"value": value} for name, value in examples.items()}
    return {MEDIA_TYPE: {"schema": schema, "examples": told}}


def _sample(kind: type[HeavyError]) -> HeavyError:
    return next(each for each in SAMPLES if type_of(each) is kind)


def _component(kind: type[HeavyError]) -> str:
    return f"{kind.__name__}Problem"


# Any: field definitions, as pydantic's `create_model` takes them.
def _named(name: str, code: str, status: int, facts: Mapping[str, Any]) -> type[BaseModel]:
    own: dict[str, Any] = {"code": Literal[code], "status": Literal[int(status)]}
    return create_model(name, __base__=_Closed, **own, **facts)


def _list(codes: Iterable[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)
