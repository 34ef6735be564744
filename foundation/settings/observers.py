"""How the settings of those who watch the server are written: OTLP headers and a Sentry DSN.

Pure.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["is_dsn", "read_headers"]

NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


def read_headers(text: str) -> dict[str, str]:
    """`a=b,c=d` as headers, names in lower case; nothing if any pair is none.

    Source: OpenTelemetry specification, "Specifying headers via environment variables".
    """
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    headers = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    is_well = all(NAME.fullmatch(name) and _is_value(value) for name, value in headers.items())
    return headers if is_well else {}


def is_dsn(text: str) -> bool:
    """`https://<key>@<host>/<number>`, perhaps with a path before the number."""
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_address and bool(parts.username) and parts.path.rpartition("/")[2].isdecimal()


def _is_value(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()
