"""The caller's runs over HTTP: look up, list, cancel, receipt and artifacts."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from foundation.errors import ArtifactNotFound, BadCursor, RunNotFound
from routing.answers import Receipt, Run, RunsPage
from routing.callers import CallerOf, ReaderOf, RoomsOf
from routing.cursors import parse_before, parse_run_id
from routing.examples import CANCELLED, RECEIPT, RUN, RUNS
from routing.openapi import OF_CALLERS, OF_PATHS, Answer, operation
from routing.parameters import Before, FileName, RunId, RunsLimit
from routing.replies import Json
from routing.wire import receipt_document, run_document, run_url

__all__ = ["router"]

PAGE_RUNS: Final = 20

MEDIA_TYPE: Final = re.compile(
    r"[a-zA-Z0-9!#$&^_.+-]{1,64}/[a-zA-Z0-9!#$&^_.+-]{1,64}(; ?charset=[a-zA-Z0-9-]{1,20})?"
)
REFUSALS: Final = (*OF_CALLERS, *OF_PATHS, RunNotFound)
CSV: Final = "date,value\n2026-11-28,15.1\n"
FILE: Final = Answer(
    "The file, to be saved.",
    always=("Content-Disposition",),
    other={"*/*": {"schema": {"type": "string", "format": "binary"}, "example": CSV}},
)
UNKNOWN_TYPE: Final = "application/octet-stream"
# What an agent made may hold scripts; it must not run them with the rights of this origin.
SANDBOX: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"


LIST: Final = operation(
    "listRuns",
    Answer("A page of runs.", model=RunsPage, example=RUNS),
    summary="List the caller's runs",
    errors=(*OF_CALLERS, BadCursor),
)
GET: Final = operation(
    "getRun",
    Answer("The run as it is now.", model=Run, example=RUN),
    summary="Look up a run",
    errors=REFUSALS,
)
RECEIVE: Final = operation(
    "getReceipt",
    Answer("The receipt as it is now.", model=Receipt, example=RECEIPT),
    summary="What a run held, used and cost",
    errors=REFUSALS,
)
CANCEL: Final = operation(
    "cancelRun",
    Answer(
        "The run ends now or in a moment.", status=202, model=Run, example=CANCELLED, always=("Location",)
    ),
    Answer("The run had ended before.", model=Run, example=RUN, always=("Location",)),
    summary="Cancel a run",
    method="POST",
    errors=REFUSALS,
)
DOWNLOAD: Final = operation(
    "getArtifact", FILE, summary="Download a file a run made", errors=(*REFUSALS, ArtifactNotFound)
)


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    one = "/api/runs/{run_id}"
    routes.add_api_route("/api/runs", list_runs, **LIST)
    routes.add_api_route(one, get_run, **GET)
    routes.add_api_route(f"{one}/receipt", get_receipt, **RECEIVE)
    routes.add_api_route(f"{one}/cancel", cancel_run, **CANCEL)
    routes.add_api_route(one + "/artifacts/{name:path}", get_artifact, **DOWNLOAD)
    return routes


async def list_runs(
    rooms: RoomsOf,
    caller: CallerOf,
    before: Before = None,
    limit: RunsLimit = PAGE_RUNS,
) -> Response:
    """Newest first, without what they answered. `next` is null on the last page."""
    found = await rooms.runs.newest(caller.user_id, before=parse_before(before), limit=limit + 1)
    page = found[:limit]
    following = page[-1]["run_id"] if len(found) > limit else None
    return Json({"runs": [run_document(run) for run in page], "next": following})


async def get_run(rooms: RoomsOf, caller: ReaderOf, run_id: RunId) -> Response:
    """With what it answered, once it has."""
    return Json(run_document(await rooms.runs.get(caller.user_id, parse_run_id(run_id))))


async def cancel_run(rooms: RoomsOf, caller: ReaderOf, run_id: RunId) -> Response:
    """Safe to repeat. What was used until then is charged."""
    run, had_ended = await rooms.runs.cancel(caller.user_id, parse_run_id(run_id))
    headers = {"Location": run_url(run["run_id"])}
    return Json(run_document(run), status=200 if had_ended else 202, headers=headers)


async def get_receipt(rooms: RoomsOf, caller: CallerOf, run_id: RunId) -> Response:
    """The entries of the ledger that belong to it, and its steps with what each used."""
    return Json(receipt_document(await rooms.runs.receipt(caller.user_id, parse_run_id(run_id))))


async def get_artifact(rooms: RoomsOf, caller: ReaderOf, run_id: RunId, name: FileName) -> Response:
    """Always to be saved: what an agent made is not shown as a page of this server."""
    if not name.isprintable():
        raise ArtifactNotFound("this run has no such artifact")
    artifact = await rooms.runs.artifact(caller.user_id, parse_run_id(run_id), name)
    is_known = MEDIA_TYPE.fullmatch(artifact.media_type) is not None
    return Response(
        artifact.content,
        media_type=artifact.media_type if is_known else UNKNOWN_TYPE,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": SANDBOX,
        },
    )
