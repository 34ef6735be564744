"""What an agent's row may say about an MCP server, read strictly; and what the operator may allow.

Pure. A URL is taken only in a plain form that every parser reads alike, so that the origin judged here is the
one that is asked. Headers are secrets: no message holds a value of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from foundation.errors import Json, NotConfigured

__all__ = ["ANY_PUBLIC", "McpEntry", "McpLimits", "read_allowed", "read_entry"]

ANY_PUBLIC: Final = "*"
FIELDS: Final = frozenset({"type", "name", "url", "headers", "allow"})
MAX_URL_CHARS: Final = 2048
MAX_HEADERS: Final = 32
MAX_HEADER_CHARS: Final = 8192
MAX_ALLOWED_TOOLS: Final = 64
DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

NAME: Final = re.compile(r"[a-z0-9_-]{1,32}\Z")
HOST: Final = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
URL: Final = re.compile(rf"(https?)://({HOST})(?::([0-9]{{1,5}}))?(?:[/?][!\"$-;=?-\[\]_a-z|~&%]*)?\Z")
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
# They belong to the connection, to the protocol, or say who is asking on whose behalf.
RESERVED_HEADERS: Final = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
        "cookie", "expect", "forwarded", "host", "keep-alive", "last-event-id", "origin", "referer", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip
RESERVED_PREFIXES: Final = ("mcp-", "proxy-", "sec-", "x-forwarded-")


@dataclass(frozen=True, slots=True)
class McpEntry:
    """A server an agent may use; `allow` is None for all of its tools."""

    name: str
    url: str = field(repr=False)  # a query may hold a key
    origin: str  # scheme://host:port, the port always there
    headers: Mapping[str, str] = field(repr=False)
    allow: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class McpLimits:
    """What one server gets of our time and memory, for one run."""

    connect_s: float = 10.0
    listing_s: float = 20.0
    call_s: float = 60.0
    calls_at_once: int = 8
    tools: int = 64
    pages: int = 16
    # Of schemas: each tool's, and all of them together.
    schema_bytes: int = 64 * 1024
    schemas_bytes: int = 256 * 1024
    # A list is read on the event loop, 0.2 s for a MB of it; all its pages count.
    listing_bytes: int = 1024 * 1024
    result_bytes: int = 256 * 1024
    # One HTTP answer: a result comes twice, as text and structured, and escaped.
    answer_bytes: int = 2 * 1024 * 1024


def read_entry(entry: Mapping[str, Json]) -> McpEntry:
    """Read one entry of an agent's tools.

    Raises:
        NotConfigured: with what is wrong and what would be right.
    """
    if unknown := sorted(set(entry) - FIELDS):
        raise NotConfigured(
            f"an MCP server has no field {unknown[0][:40]!r}; it has {', '.join(sorted(FIELDS))}"
        )
    if entry.get("type") != "mcp":
        raise NotConfigured('the type of an MCP server is "mcp"')
    name = _name(entry.get("name"))
    url, origin = _url(entry.get("url"), of=name)
    return McpEntry(
        name=name,
        url=url,
        origin=origin,
        headers=_headers(entry.get("headers"), of=name),
        allow=_allow(entry.get("allow"), of=name),
    )


def read_allowed(allowed: Sequence[str]) -> frozenset[str]:
    """The operator's list as origins, and "*" where it is in it.

    Raises:
        NotConfigured: naming the setting and what one of its items should be.
    """
    return frozenset(each if each == ANY_PUBLIC else _allowed_origin(each) for each in allowed)


def _name(name: Json) -> str:
    """So formed that `<server>__<tool>` says in one way only which server is meant."""
    if not isinstance(name, str) or NAME.match(name) is None or "__" in name or name.endswith("_"):
        raise NotConfigured(
            "the name of an MCP server has 1 to 32 of a-z, 0-9, _ and -; no two _ in a row, none at the end"
        )
    return name


def _url(url: Json, *, of: str) -> tuple[str, str]:
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or (origin := _origin(url)) is None:
        raise NotConfigured(
            f"the url of the MCP server {of} is not a plain address like https://mcp.example.com/mcp, "
            "without user name and fragment"
        )
    return url, origin


def _origin(url: str) -> str | None:
    if (found := URL.match(url)) is None:
        return None
    scheme, host, port = found.groups()
    return f"{scheme}://{host.lower().removesuffix('.')}:{port or DEFAULT_PORTS[scheme]}"


def _allowed_origin(text: str) -> str:
    found = URL.match(text)
    if found is None or found.end(2) + len(f":{found[3]}" if found[3] else "") < len(text.removesuffix("/")):
        raise NotConfigured(
            f"MCP_SERVERS: {text[:200]!r} is not an origin like https://mcp.example.com or "
            "http://127.0.0.1:9000, nor * for any public https server"
        )
    origin = _origin(text)
    assert origin is not None  # noqa: S101 - it matched above
    return origin


def _headers(headers: Json, *, of: str) -> Mapping[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or len(headers) > MAX_HEADERS:
        raise NotConfigured(
            f"the headers of the MCP server {of} are an object of at most {MAX_HEADERS} texts"
        )
    return {name: _header(name, value, of=of) for name, value in headers.items()}


def _header(name: str, value: Json, *, of: str) -> str:
    if HEADER_NAME.match(name) is None:
        raise NotConfigured(f"a header of the MCP server {of} has a name that no header can have")
    lowered = name.lower()
    if lowered in RESERVED_HEADERS or lowered.startswith(RESERVED_PREFIXES):
        raise NotConfigured(
            f"the header {name[:40]} of the MCP server {of} is set by the server itself; leave it out"
        )
    if not isinstance(value, str) or len(value) > MAX_HEADER_CHARS or HEADER_VALUE.match(value) is None:
        raise NotConfigured(
            f"the value of the header {name[:40]} of the MCP server {of} is not 1 to {MAX_HEADER_CHARS} "
            "plain ASCII characters"
        )
    return value


def _allow(allow: Json, *, of: str) -> tuple[str, ...] | None:
    if allow is None:
        return None
    names = tuple(each for each in allow if isinstance(each, str) and each) if isinstance(allow, list) else ()
    if not isinstance(allow, list) or len(names) != len(allow) or not 1 <= len(names) <= MAX_ALLOWED_TOOLS:
        raise NotConfigured(
            f"allow of the MCP server {of} lists 1 to {MAX_ALLOWED_TOOLS} names of its tools; "
            "leave it out for all of them"
        )
    return tuple(dict.fromkeys(names))
