"""What an address of another backend looks like: `https://name:port` and nothing else.

Pure. An address has to be written plainly, because two URL parsers, ours and that of the edge, may disagree
about anything fancier. It is compared and never used: what is asked is the origin that was rebuilt from it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["read_origin"]

LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Without ASCII, ignoring case would also take the Kelvin sign for a k.
ORIGIN: Final = re.compile(
    rf"https://({LABEL}(?:\.{LABEL})*)\.?(?::([1-9][0-9]{{0,4}}))?/?", re.ASCII | re.IGNORECASE
)
MAX_HOST_CHARS: Final = 253
MAX_PORT: Final = 65535
HTTPS_PORT: Final = 443


def read_origin(address: str) -> str | None:
    """`address` as its origin is always spelt; None unless it is https, a name, perhaps a port, no more."""
    match = ORIGIN.fullmatch(address)
    if match is None:
        return None
    host, port = match[1].lower(), int(match[2] or HTTPS_PORT)
    if len(host) > MAX_HOST_CHARS or port > MAX_PORT:
        return None
    return f"https://{host}" if port == HTTPS_PORT else f"https://{host}:{port}"
