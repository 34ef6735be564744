"""A provider's text as it can be journaled: without NUL, as what is stored must be what was answered."""

from __future__ import annotations

__all__ = ["storable"]


def storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text
