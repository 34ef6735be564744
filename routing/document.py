"""The problem document: what an error looks like on the wire.

Source: RFC 9457.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from foundation.errors import HeavyError, Json

__all__ = ["problem", "problem_fields"]

TYPE_PREFIX: Final = "urn:switchyard:error:"


def problem(error: HeavyError, request_id: str) -> dict[str, Json]:
    """The document of `error`, with its facts."""
    fields = problem_fields(code=error.code, status=error.status, detail=error.detail, request_id=request_id)
    return {**error.facts(), **fields}


def problem_fields(*, code: str, status: int, detail: str, request_id: str) -> dict[str, Json]:
    """What every problem has; `error` and `message` repeat title and detail for older clients."""
    title = HTTPStatus(status).phrase
    return {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": request_id,
        "error": title,
        "message": detail,
    }
