"""Which secrets have a shape of their own, and what has it. Of the others only the length can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from foundation.settings.forwarding import is_forwarding_key
from foundation.settings.keys import is_secret_key
from foundation.settings.observers import is_dsn, read_headers

__all__ = ["SHAPES"]

# By the names of their fields.
SHAPES: Final[Mapping[str, Callable[[str], bool]]] = {
    "forwarding_key": is_forwarding_key,
    "otel_exporter_otlp_headers": lambda text: bool(read_headers(text)),
    "sentry_dsn": is_dsn,
    "supabase_secret_key": is_secret_key,
}
