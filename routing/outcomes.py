"""How an ended run is answered to the caller that waited for it: never an error as success.

Pure. A run that failed or was cancelled is a problem document with the run's own `code`; the status says
whose turn it is: 402 and 409 the caller's, 503 and 504 worth another try, 502 the agent could not do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from foundation.errors import Json
from routing.document import problem_fields
from routing.wire import answer_document

__all__ = ["ENDED", "STATUS_BY_CODE", "failure_document", "failure_status"]

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "credit_exhausted": 402,
    "cancelled": 409,
    "database_unavailable": 503,
    "model_unavailable": 503,
    "not_configured": 503,
    "deadline_exceeded": 504,
}
OTHERWISE: Final = 502

# Any: a run as the database's JSON gives it (`switchyard.run_json`).
Run = Mapping[str, Any]


def failure_status(run: Run) -> int:
    return STATUS_BY_CODE.get(run["code"], OTHERWISE)


def failure_document(run: Run, request_id: str) -> dict[str, Json]:
    """The problem of a run that did not succeed: why, what it had said so far, and what it cost."""
    fields = problem_fields(
        code=run["code"],
        status=failure_status(run),
        detail=run["error"] or "the run did not succeed",
        request_id=request_id,
    )
    return {**answer_document(run), "runStatus": run["status"], **fields}
