"""How an error is answered: always an `application/problem+json` document with a request id.

What we did not expect is logged with its cause and answered as `internal_error`; nothing of it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from foundation.errors import (
    HeavyError,
    InternalError,
    InvalidBody,
    InvalidRequest,
    Json,
    MethodNotAllowed,
    NotFound,
)
from routing.document import problem
from routing.fields import field_errors, field_path
from routing.json_bytes import json_bytes
from routing.rooms import Rooms, rooms_of

__all__ = [
    "Problem",
    "code_of",
    "handlers",
    "note",
    "nothing_here",
    "problem_of",
    "request_id_of",
    "unexpected",
]

log = structlog.get_logger(__name__)

FIRST_OWN_FAULT = 500
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Problem(Response):
    media_type = "application/problem+json"

    def __init__(
        self, document: dict[str, Json], *, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(json_bytes(document), status, headers)
        self._code = document["code"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["problem_code"] = self._code
        await super().__call__(scope, receive, send)


def problem_of(scope: Scope, error: HeavyError) -> Problem:
    """The answer that says `error`."""
    note(error)
    document = problem(error, request_id_of(scope))
    return Problem(document, status=error.status, headers=error.headers())


def note(error: HeavyError) -> None:
    """Log what is not the caller's doing: a fault of ours at `error`, which is its report."""
    if error.status < FIRST_OWN_FAULT:
        return
    say = log.error if isinstance(error, InternalError) else log.warning
    # What passes by itself comes in storms; its cause is logged where it is known.
    say("request_failed", code=error.code, exc_info=None if error.retryable else error)


def unexpected(scope: Scope, error: Exception) -> Problem:
    log.error("request_broke", exc_info=error)
    document = problem(InternalError("something went wrong on our side"), request_id_of(scope))
    return Problem(document, status=InternalError.status)


def nothing_here(rooms: Rooms) -> NotFound:
    """Whoever sends callers to a worker should learn that from the first answer."""
    if rooms.settings.role.serves_callers:
        return NotFound("there is nothing at this path")
    return NotFound("this process only executes runs (ROLE=worker); the API is served by those with ROLE=web")


def code_of(scope: Scope) -> str | None:
    """The code of the problem that was answered; None if it was none, or not answered yet."""
    state: dict[str, str] = scope.get("state", {})
    return state.get("problem_code")


def request_id_of(scope: Scope) -> str:
    state: dict[str, str] = scope.get("state", {})
    return state.get("request_id", "")


# Any: the framework promises a handler only exceptions of the class it is registered for.
Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


def handlers() -> dict[int | type[Exception], Handler]:
    """What the app is to do with each kind of exception that leaves a route."""
    return {
        HeavyError: _on_heavy_error,
        RequestValidationError: _on_validation_error,
        HTTPException: _on_http_exception,
    }


async def _on_heavy_error(request: Request, error: HeavyError) -> Response:
    return problem_of(request.scope, error)


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Bodies are read by hand, so this is a path, query or header parameter."""
    mistakes = error.errors()
    if any(mistake["loc"][:1] == ("body",) for mistake in mistakes):
        return problem_of(request.scope, InvalidBody(field_errors(mistakes)))
    sentences = (f"{field_path(each['loc'][1:])}: {field_errors([each])[0].message}" for each in mistakes)
    return problem_of(request.scope, InvalidRequest("; ".join(sentences)))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    """What the framework says by itself: no such path, no such method there."""
    answer = problem_of(request.scope, _named(error.status_code, await rooms_of(request)))
    answer.headers.update(error.headers or {})
    if error.status_code == MethodNotAllowed.status:
        answer.headers["Allow"] = ", ".join(method for method in METHODS if _takes(request, method))
    return answer


def _takes(request: Request, method: str) -> bool:
    """Whether any route at this path takes `method`; the framework names only those of the first."""
    scope = {"type": "http", "method": method, "path": request.scope["path"], "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


def _named(status: int, rooms: Rooms) -> HeavyError:
    match status:
        case NotFound.status:
            return nothing_here(rooms)
        case MethodNotAllowed.status:
            return MethodNotAllowed("this path takes other methods; see the Allow header")
        case _ if status < FIRST_OWN_FAULT:
            return InvalidRequest("the request cannot be read")
        case _:
            return InternalError("something went wrong on our side")
