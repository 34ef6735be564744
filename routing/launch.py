"""From an order to an answer: accept the run, then wait for its end, stream it, or say where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog
from fastapi import Request
from starlette.responses import Response

from foundation.errors import DatabaseUnavailable
from foundation.identity import Caller
from heavy_agents.runs import Order, Submission
from routing.agreement import owner_told
from routing.events import event_stream
from routing.outcomes import ENDED, failure_document, failure_status
from routing.preferences import Preference
from routing.problems import Problem, request_id_of
from routing.replies import Json
from routing.rooms import Rooms
from routing.waiting import closing, first_of, unless_left
from routing.wire import accepted_document, answer_document, run_url

__all__ = ["launch"]

log = structlog.get_logger(__name__)

Submit = Callable[[Order], Awaitable[Submission]]


async def launch(
    request: Request,
    rooms: Rooms,
    caller: Caller,
    order: Order,
    *,
    preference: Preference,
    wants_stream: bool,
    submit: Submit | None = None,
) -> Response:
    """Holds the credits, makes the run durable and executes it. A client that leaves does not stop it.

    `submit` takes the place of `Runs.submit`.
    """
    wants_stream = wants_stream and not preference.respond_async
    if wants_stream:
        rooms.readers.check(caller.user_id)
    submission = await (submit or rooms.runs.submit)(order)
    run_id = UUID(submission.run["run_id"])
    headers = _headers(submission) | owner_told(request.headers, submission)
    if wants_stream:
        return event_stream(rooms, caller, run_id, after=0, begun=submission.begun, headers=headers)
    waiting = _ended(rooms, caller, submission, within_s=preference.patience_s)
    ended = await unless_left(request.receive, waiting)
    if ended is None:
        headers |= preference.applied(is_accepted=True)
        return Json(accepted_document(submission.run), status=202, headers=headers)
    return _answer(ended, request, preference=preference, headers=headers)


# Any: a run as `switchyard_runs_get` gives it.
async def _ended(
    rooms: Rooms, caller: Caller, submission: Submission, *, within_s: int
) -> dict[str, Any] | None:
    """The run once it has ended; None when the time is over, this process shuts down or it cannot be read.

    Whatever goes wrong here, the run is accepted: its caller must learn its id, not an error.
    """
    run_id = UUID(submission.run["run_id"])
    try:
        if submission.run["status"] not in ENDED:
            if within_s == 0:
                return None
            async with asyncio.timeout(within_s):
                follow = _follow_to_end(rooms, caller, submission)
                await first_of(follow, rooms.readers.leaving())
        run = await rooms.runs.get(caller.user_id, run_id)
    except TimeoutError:
        return None
    except DatabaseUnavailable:
        log.warning("waiting_interrupted", run_id=str(run_id))
        return None
    return run if run["status"] in ENDED else None


async def _follow_to_end(rooms: Rooms, caller: Caller, submission: Submission) -> None:
    run_id, seen = UUID(submission.run["run_id"]), submission.run["last_seq"]
    follow = rooms.runs.follow(caller.user_id, run_id, after=seen, is_fresh=not submission.joined)
    async with closing(follow) as batches:
        async for _ in batches:
            pass


# Any: as `_ended`.
def _answer(
    run: dict[str, Any], request: Request, *, preference: Preference, headers: dict[str, str]
) -> Response:
    headers = headers | preference.applied(is_accepted=False)
    if run["status"] == "succeeded":
        return Json(answer_document(run), headers=headers)
    document = failure_document(run, request_id_of(request.scope))
    return Problem(document, status=failure_status(run), headers=headers)


def _headers(submission: Submission) -> dict[str, str]:
    replayed = {"Idempotency-Replayed": "true"} if submission.joined else {}
    return {"Location": run_url(submission.run["run_id"]), **replayed}
