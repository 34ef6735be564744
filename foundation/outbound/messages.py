"""What is asked and what comes back, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foundation.outbound.targets import Target

__all__ = ["Fetched", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One hop: `headers` in lower case; `allow_private` only while the operator's own origin is asked."""

    target: Target
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    allow_private: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status; `url` is where redirects ended, header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
