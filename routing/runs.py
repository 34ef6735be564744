"""The caller's runs over HTTP: look up, list, cancel, receipt and artifacts."""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response

from foundation.errors import ArtifactNotFound
from routing.answers import Receipt, Run, RunsPage
from routing.callers import CallerOf, RoomsOf
from routing.cursors import parse_before, parse_run_id
from routing.openapi import problems
from routing.replies import Json
from routing.wire import receipt_document, run_document, run_url

__all__ = ["router"]

PAGE_RUNS: Final = 20
MAX_PAGE_RUNS: Final = 100

MEDIA_TYPE: Final = re.compile(
    r"[a-zA-Z0-9!#$&^_.+-]{1,64}/[a-zA-Z0-9!#$&^_.+-]{1,64}(; ?charset=[a-zA-Z0-9-]{1,20})?"
)
REFUSALS: Final = problems(400, 401, 404, 429, 502, 503)
UNKNOWN_TYPE: Final = "application/octet-stream"
# What an agent made may hold scripts; it must not run them with the rights of this origin.
SANDBOX: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    one = "/api/runs/{run_id}"
    for path, endpoint, summary, model in (
        ("/api/runs", list_runs, "List the caller's runs", RunsPage),
        (one, get_run, "Look up a run", Run),
        (f"{one}/receipt", get_receipt, "What a run held, used and cost", Receipt),
    ):
        routes.add_api_route(path, endpoint, summary=summary, response_model=model, responses=REFUSALS)
    routes.add_api_route(
        f"{one}/cancel",
        cancel_run,
        methods=["POST"],
        summary="Cancel a run",
        response_model=Run,
        response_description="The run had ended before.",
        responses={202: {"model": Run, "description": "The run ends now or in a moment."}, **REFUSALS},
    )
    routes.add_api_route(
        one + "/artifacts/{name:path}",
        get_artifact,
        summary="Download a file a run made",
        response_class=Response,
        responses={200: {"content": {"*/*": {}}, "description": "The file, to be saved."}, **REFUSALS},
    )
    return routes


async def list_runs(
    rooms: RoomsOf,
    caller: CallerOf,
    before: Annotated[str | None, Query(description="`next` of the page before this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_RUNS)] = PAGE_RUNS,
) -> Response:
    """Newest first, without what they answered. `next` is null on the last page."""
    found = await rooms.runs.newest(caller.user_id, before=parse_before(before), limit=limit + 1)
    page = found[:limit]
    following = page[-1]["run_id"] if len(found) > limit else None
    return Json({"runs": [run_document(run) for run in page], "next": following})


async def get_run(rooms: RoomsOf, caller: CallerOf, run_id: str) -> Response:
    return Json(run_document(await rooms.runs.get(caller.user_id, parse_run_id(run_id))))


async def cancel_run(rooms: RoomsOf, caller: CallerOf, run_id: str) -> Response:
    """Safe to repeat. What was used until then is charged."""
    run, had_ended = await rooms.runs.cancel(caller.user_id, parse_run_id(run_id))
    headers = {"Location": run_url(run["run_id"])}
    return Json(run_document(run), status=200 if had_ended else 202, headers=headers)


async def get_receipt(rooms: RoomsOf, caller: CallerOf, run_id: str) -> Response:
    return Json(receipt_document(await rooms.runs.receipt(caller.user_id, parse_run_id(run_id))))


async def get_artifact(rooms: RoomsOf, caller: CallerOf, run_id: str, name: str) -> Response:
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
