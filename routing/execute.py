"""Starting a run: parse, accept, then wait for its end, stream it, or say where it goes on."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import (
    AgentNotFound,
    ConversationNotFound,
    DatabaseUnavailable,
    Draining,
    InsufficientCredits,
    KeyConflict,
    NotConfigured,
    RunNotFound,
)
from foundation.identity import Caller
from heavy_agents.runs import Submission
from routing.answers import Accepted, ExecuteAnswer
from routing.bodies import EXECUTE_BYTES, read_model
from routing.callers import CallerOf, RoomsOf
from routing.events import SSE, STREAMED, event_stream
from routing.examples import ACCEPTED, AGENT_ID, ANSWER
from routing.models import ExecuteBody, order_of
from routing.openapi import OF_BODIES, OF_CALLERS, Answer, json_body, operation
from routing.outcomes import ENDED, failure_document, failure_status
from routing.parameters import IdempotencyKey, Prefer
from routing.preferences import Preference, accepts, parse_key, parse_prefer
from routing.problems import Problem, request_id_of
from routing.replies import Json
from routing.rooms import Rooms
from routing.waiting import closing, first_of, unless_left
from routing.wire import accepted_document, answer_document, run_url

__all__ = ["router"]

log = structlog.get_logger(__name__)

EXAMPLE: Final = {
    "agentId": AGENT_ID,
    "messages": [{"role": "user", "content": "Forecast the next week."}],
    "input": {
        "horizon": 7,
        "series": [{"date": f"2026-01-{day:02}", "value": 12.5 + day % 7} for day in range(1, 22)],
    },
}


SAID: Final = ("Idempotency-Replayed", "Preference-Applied")
ENDED_WELL: Final = Answer(
    "The run has succeeded; or its events, as they come.",
    model=ExecuteAnswer,
    example=ANSWER,
    always=("Location",),
    sometimes=SAID,
    other=STREAMED,
)
GOES_ON: Final = Answer(
    "The run goes on; follow it at `eventsUrl`.",
    status=202,
    model=Accepted,
    example=ACCEPTED,
    always=("Location",),
    sometimes=SAID,
)
REFUSALS: Final = (
    *OF_CALLERS,
    *OF_BODIES,
    InsufficientCredits,
    AgentNotFound,
    ConversationNotFound,
    # The run an idempotency key has made is not kept any more.
    RunNotFound,
    KeyConflict,
    NotConfigured,
    Draining,
)


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    routes.add_api_route(
        "/api/agent/execute",
        execute,
        **operation(
            "execute",
            ENDED_WELL,
            GOES_ON,
            summary="Start a run",
            method="POST",
            errors=REFUSALS,
            body=json_body(
                ExecuteBody,
                aForecast=EXAMPLE,
                streamed={**EXAMPLE, "stream": True, "metadata": {"page": "home"}},
            ),
            waits_for_run=True,
        ),
    )
    return routes


async def execute(
    request: Request,
    rooms: RoomsOf,
    caller: CallerOf,
    _prefer: Prefer = None,
    _key: IdempotencyKey = None,
) -> Response:
    """Holds the credits, makes the run durable and executes it. A client that leaves does not stop it.

    With `stream` or `Accept: text/event-stream` its events are streamed; otherwise the answer comes when the
    run has ended, or says where to follow it. A run that fails while it is waited for is a problem document.
    """
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ExecuteBody, limit_bytes=EXECUTE_BYTES)
    wants_stream = (body.stream or _accepts_stream(request)) and not preference.respond_async
    if wants_stream:
        rooms.readers.check(caller.user_id)
    submission = await rooms.runs.submit(order_of(body, caller, key=key, size_bytes=size_bytes))
    run_id = UUID(submission.run["run_id"])
    headers = _headers(submission)
    if wants_stream:
        return event_stream(rooms, caller, run_id, after=0, headers=headers)
    waiting = _ended(rooms, caller, submission, within_s=preference.patience_s)
    run = await unless_left(request.receive, waiting)
    return _answer(run, request, preference=preference, headers=headers)


# Any: a run as the database's JSON gives it (`switchyard.run_json`).
async def _ended(rooms: Rooms, caller: Caller, submission: Submission, *, within_s: int) -> dict[str, Any]:
    """The run once it has ended, or as it was when the time is over or this process shuts down.

    Whatever goes wrong here, the run is accepted: its caller must learn its id, not an error.
    """
    run = submission.run
    run_id = UUID(run["run_id"])
    try:
        if run["status"] not in ENDED:
            if within_s == 0:
                return run
            async with asyncio.timeout(within_s):
                follow = _follow_to_end(rooms, caller, run_id, after=run["last_seq"])
                await first_of(follow, rooms.readers.leaving())
        return await rooms.runs.get(caller.user_id, run_id)
    except TimeoutError:
        return run
    except DatabaseUnavailable:
        log.warning("waiting_interrupted", run_id=str(run_id))
        return run


async def _follow_to_end(rooms: Rooms, caller: Caller, run_id: UUID, *, after: int) -> None:
    async with closing(rooms.runs.follow(caller.user_id, run_id, after=after)) as batches:
        async for _ in batches:
            pass


# Any: as `_ended`.
def _answer(
    run: dict[str, Any], request: Request, *, preference: Preference, headers: dict[str, str]
) -> Response:
    is_accepted = run["status"] not in ENDED
    headers = headers | preference.applied(is_accepted=is_accepted)
    if is_accepted:
        return Json(accepted_document(run), status=202, headers=headers)
    if run["status"] == "succeeded":
        return Json(answer_document(run), headers=headers)
    document = failure_document(run, request_id_of(request.scope))
    return Problem(document, status=failure_status(run), headers=headers)


def _headers(submission: Submission) -> dict[str, str]:
    replayed = {"Idempotency-Replayed": "true"} if submission.joined else {}
    return {"Location": run_url(submission.run["run_id"]), **replayed}


def _accepts_stream(request: Request) -> bool:
    return accepts(SSE, request.headers.getlist("accept"))
