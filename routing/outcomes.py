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

__all__ = ["CODES_BY_STATUS", "ENDED", "failure_document", "failure_status"]

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

OTHERWISE: Final = 502
CODES_BY_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    402: ("credit_exhausted",),
    409: ("cancelled",),
    # Whatever else a run may end with is answered so as well.
    OTHERWISE: (
        "agent_error",
        "backend_failed",
        "computation_crashed",
        "internal_error",
        "invalid_request",
        "poison",
        "too_large",
        "workers_busy",
    ),
    503: ("database_unavailable", "model_unavailable", "not_configured"),
    504: ("deadline_exceeded",),
}
STATUS_BY_CODE: Final = {code: status for status, codes in CODES_BY_STATUS.items() for code in codes}

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
