"""The headers of answers, as the description tells them; what only browsers read is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["headers"]

# Any: pieces of an OpenAPI document.
Piece = dict[str, Any]


def headers(always: Iterable[str], sometimes: Iterable[str] = ()) -> Piece:
    """The descriptions of these headers, by name."""
    return {
        **{name: {**HEADERS[name], "required": False} for name in sometimes},
        **{name: {**HEADERS[name], "required": True} for name in always},
    }


def _text(description: str, example: str, **facets: str) -> Piece:
    return {"description": description, "schema": {"type": "string", **facets}, "example": example}


HEADERS: Final[Mapping[str, Piece]] = {
    "X-Request-Id": _text(
        "What this request is called in the server's log: the caller's own name for it if it sent one.",
        "5f0c2ab1d94e7a36",
        pattern="^[A-Za-z0-9._:-]{1,128}$",
    ),
    "RateLimit": _text(
        "Requests that are left (`r`) and seconds until the window ends (`t`).",
        '"requests";r=599;t=60',
        pattern='^"[a-z_]+";r=[0-9]+;t=[0-9]+$',
    ),
    "RateLimit-Policy": _text(
        "Requests (`q`) a window of seconds (`w`).",
        '"requests";q=600;w=60',
        pattern='^"[a-z_]+"(;q=[0-9]+)?(;w=[0-9]+)?$',
    ),
    "Retry-After": {
        "description": "Seconds after which it is worth another try.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 17,
    },
    "WWW-Authenticate": _text(
        "RFC 6750; without an error when no credential was sent.",
        'Bearer error="invalid_token"',
        pattern="^Bearer",
    ),
    "Location": _text(
        "Where it is from now on.",
        "/api/runs/019ab3c2-7d10-7c35-9f0e-52b1d9a8e4f6",
        format="uri-reference",
    ),
    "Idempotency-Replayed": _text(
        "`true` when an earlier request with this `Idempotency-Key` had made the run.",
        "true",
        pattern="^true$",
    ),
    "Preference-Applied": _text("What of `Prefer` was followed.", "respond-async"),
    "Content-Disposition": _text(
        "The file is to be saved, under its own name.",
        "attachment; filename*=UTF-8''forecast.csv",
        pattern="^attachment; ",
    ),
}
