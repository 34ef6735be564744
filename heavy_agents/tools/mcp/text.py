"""How text from an MCP server is made safe to pass on: plain characters, a bound, none of our secrets.

Pure. A server may repeat the headers it was sent; what repeats one is blotted out wherever it appears.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from foundation.errors import Json

__all__ = ["Blotter", "plain"]

HIDDEN: Final = "[hidden]"
# A shorter value would be found inside ordinary words.
MIN_SECRET_CHARS: Final = 8
KEPT_CONTROLS: Final = "\n\t"


def plain(text: str, *, max_chars: int) -> str:
    """`text` without control characters and lone surrogates, visibly cut at `max_chars`."""
    whole = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
    return "".join(each if each in KEPT_CONTROLS or each.isprintable() else " " for each in whole).strip()


class Blotter:
    """Hides what must not be repeated, in any JSON value."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._secrets = sorted(_secrets(headers.values()), key=len, reverse=True)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def json(self, value: Json) -> Json:
        if not self._secrets:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(each) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self.json(each) for name, each in value.items()}
        return value


def _secrets(values: Iterable[str]) -> set[str]:
    """Each value, and the part after a scheme like `Bearer`."""
    parts = {part for value in values for part in (value, value.partition(" ")[2].strip())}
    return {part for part in parts if len(part) >= MIN_SECRET_CHARS}
