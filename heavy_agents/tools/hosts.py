"""Which host a URL names, and whether somebody's list of hosts has it.

The URL is read by the parser that the outbound client reads it with, so that the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["Host", "is_host_pattern", "is_listed", "is_private", "read_host"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
PATTERN: Final = re.compile(rf"(?:\*\.)?(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*\Z")


@dataclass(frozen=True, slots=True)
class Host:
    """`name` in lower case, IPv6 in brackets; `is_usual_port` for 80 with http and 443 with https."""

    name: str
    port: int
    is_usual_port: bool


def read_host(url: str) -> Host | None:
    """The host of `url`; None if it is no URL of the web. Loads the HTTP library: use a thread."""
    from httpx2 import URL, InvalidURL

    try:
        parsed = URL(url)
        name = parsed.raw_host.decode("ascii").removesuffix(".").lower()
    except (InvalidURL, ValueError):
        return None
    usual = DEFAULT_PORTS.get(parsed.scheme)
    if usual is None or not name:
        return None
    port = parsed.port if parsed.port is not None else usual
    return Host(f"[{name}]" if ":" in name else name, port, port == usual)


def is_host_pattern(text: str) -> bool:
    """Whether it is `example.com` or `*.example.com`, in lower case."""
    return PATTERN.match(text) is not None


def is_listed(host: Host, patterns: Iterable[str]) -> bool:
    """`*.example.com` has every host below example.com, not that host itself."""
    return any(
        host.name.endswith(pattern[1:]) if pattern.startswith("*.") else host.name == pattern
        for pattern in patterns
    )


def is_private(host: Host, private_hosts: frozenset[str]) -> bool:
    """Whether the operator named it: `host:port`, or `host` for the usual port."""
    return f"{host.name}:{host.port}" in private_hosts or (host.is_usual_port and host.name in private_hosts)
