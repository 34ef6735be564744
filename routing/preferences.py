"""How a caller wants to be answered, as its headers say: how long to wait, streamed or not, which key.

Pure. A preference that makes no sense is passed over, as RFC 7240 asks; a key that makes none is refused,
because the run would then not be protected against a repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from foundation.errors import InvalidRequest

__all__ = ["DEFAULT_WAIT_S", "MAX_WAIT_S", "Preference", "accepts", "parse_key", "parse_prefer"]

DEFAULT_WAIT_S: Final = 100
MAX_WAIT_S: Final = 240
MAX_KEY_CHARS: Final = 255

KEY: Final = re.compile(r"[\x20-\x7e]+")
SECONDS: Final = re.compile(r"[0-9]{1,9}")
# Preferences are parted by commas that do not stand in quotes.
PART: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


@dataclass(frozen=True, slots=True)
class Preference:
    """`wait_s` is None when the caller did not say; it is at most `MAX_WAIT_S`."""

    respond_async: bool = False
    wait_s: int | None = None

    @property
    def patience_s(self) -> int:
        """Seconds to wait for the end before the run is answered as accepted."""
        if self.wait_s is not None:
            return self.wait_s
        return 0 if self.respond_async else DEFAULT_WAIT_S

    def applied(self, *, is_accepted: bool) -> dict[str, str]:
        """`Preference-Applied`, for an answer that says accepted, or one that waited for the end."""
        said = [f"wait={self.wait_s}"] if self.wait_s is not None else []
        if self.respond_async and is_accepted:
            said.append("respond-async")
        return {"Preference-Applied": ", ".join(said)} if said else {}


def parse_prefer(lines: Iterable[str]) -> Preference:
    """Of a preference given twice the first counts.

    Source: RFC 7240, sections 2, 4.1 and 4.3.
    """
    found: dict[str, str] = {}
    for line in lines:
        for part in PART.findall(line):
            name, _, value = part.split(";", 1)[0].partition("=")
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = found.get("wait", "")
    return Preference(
        respond_async="respond-async" in found,
        wait_s=min(int(wait), MAX_WAIT_S) if SECONDS.fullmatch(wait) else None,
    )


def parse_key(lines: list[str]) -> str | None:
    """The idempotency key, quoted or bare; None when there is none.

    Raises:
        InvalidRequest: it is empty, too long, not printable ASCII, or sent more than once.
    """
    if not lines:
        return None
    if len(lines) > 1:
        raise InvalidRequest("the header Idempotency-Key is sent more than once")
    key = lines[0].strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > MAX_KEY_CHARS or KEY.fullmatch(key) is None:
        raise InvalidRequest(f"Idempotency-Key wants 1 to {MAX_KEY_CHARS} printable ASCII characters")
    return key


def accepts(media_type: str, lines: Iterable[str]) -> bool:
    """Whether `Accept` names exactly this type, with any weight but 0."""
    for line in lines:
        for offer in line.split(","):
            name, *parameters = (part.strip().lower() for part in offer.split(";"))
            if name == media_type and not any(_is_zero(parameter) for parameter in parameters):
                return True
    return False


def _is_zero(parameter: str) -> bool:
    return re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) is not None
