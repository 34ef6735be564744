"""What the description says in prose: the whole in a page, and each group of operations in a sentence."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["ABOUT"]

SUMMARY: Final = "Durable runs of heavy agents, live streams, credits settled exactly once."

DESCRIPTION: Final = """\
JSON with camelCase names; times are RFC 3339 in UTC; credits are whole numbers. An unknown field in a body is
refused, so that a typo changes nothing. No text may hold a NUL character.

**Errors** are `application/problem+json` (RFC 9457) everywhere. Look at `code`: it never changes its meaning.
Besides what an operation lists, any address may answer 404 `not_found`, 405 `method_not_allowed`, and a
browser's preflight 403 `origin_not_allowed`.

**Sockets** (`/ws`) cannot be described here: several runs on one WebSocket, resumable on either transport.
The messages and close codes are in [docs/protocol.md](docs/protocol.md), with all else about the wire.

**Who calls** is said once a request: a user's token, an API key, or the service secret with the user it
speaks for. Several are fine when all speak for one user; two that disagree are refused.
"""

# Any: as FastAPI takes them.
TAGS: Final[list[dict[str, Any]]] = [
    {"name": "runs", "description": "Start, follow, cancel and account for the work of agents."},
    {"name": "events", "description": "What a run says while it goes on, resumable from any number."},
    {"name": "conversations", "description": "What was said in earlier runs, kept for the next one."},
    {"name": "agents", "description": "What may be run, and what it has cost."},
    {"name": "credits", "description": "The caller's account."},
    {"name": "keys", "description": "Keys for scripts; only for a signed-in user in person."},
    {"name": "backends", "description": "What other backends need that take the runs of this one."},
    {"name": "health", "description": "For platforms and edge functions; no credential is needed."},
    {"name": "metrics", "description": "The figures of this process, behind a token of their own."},
]

# Any: the arguments of `FastAPI`.
ABOUT: Final[dict[str, Any]] = {
    "title": "Switchyard",
    "summary": SUMMARY,
    "description": DESCRIPTION,
    "license_info": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "openapi_tags": TAGS,
    "servers": [{"url": "/", "description": "The server this description came from."}],
}
