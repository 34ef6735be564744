"""What an `api_call` sends, as its agent's owner wrote it. Pure.

`tests/golden/functions.json` holds this and the edge function to one table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from foundation.errors import Json

__all__ = ["JSON_TYPE", "ApiRequest", "request_of"]

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# Of the connection, or of whoever would speak for somebody else; with those that begin with `proxy-`.
NOT_SENT: Final = frozenset(
    {"connection", "content-length", "cookie", "host", "te", "transfer-encoding", "upgrade"}
)
HEADER_NAME: Final = re.compile(r"[a-z0-9_-]{1,100}")
PLAIN: Final = re.compile(r"[\x20-\x7e]*")
JSON_TYPE: Final = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """Header names are in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None


def request_of(config: Mapping[str, Json]) -> ApiRequest | None:
    """None when its method is none of those taken; headers that may not be sent are left out."""
    body = config.get("body")
    has_body = body is not None and body != ""
    method = config.get("method") or ("POST" if has_body else "GET")
    if not isinstance(method, str) or method.upper() not in METHODS:
        return None
    own = _headers(config.get("headers"))
    if not has_body or method.upper() == "GET":
        return ApiRequest(method.upper(), own, None)
    sent = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return ApiRequest(method.upper(), JSON_TYPE | own, sent)


def _headers(configured: Json) -> dict[str, str]:
    if not isinstance(configured, dict):
        return {}
    lines = {name.lower(): value for name, value in configured.items()}
    return {
        name: value.strip()
        for name, value in lines.items()
        if _is_sent(name) and isinstance(value, str) and PLAIN.fullmatch(value)
    }


def _is_sent(name: str) -> bool:
    is_own = name not in NOT_SENT and not name.startswith("proxy-")
    return is_own and HEADER_NAME.fullmatch(name) is not None
