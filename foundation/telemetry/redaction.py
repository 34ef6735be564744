"""What may not be written down: secrets, found by the name they go under or by how they look.

Pure. The result holds only what JSON can carry: what is neither text, number, time nor a collection of them
becomes its `repr`, so that no object brings a secret in by the back door.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

__all__ = ["REDACTED", "Redactor"]

REDACTED = "[redacted]"

TEXT_LIMIT = 16_000
DEPTH_LIMIT = 8
OWN_SECRET_LENGTH = 8  # a shorter one would be found inside ordinary words
ITEMS_LIMIT = 200
NAME_KEPT_CHARS = 100

# `token` but not `tokens`: how many tokens a model used is no secret.
SECRET_KEY = re.compile(
    r"authorization|passw(or)?d|secret|api_?key|apikey|cookie|credential|private_?key|database_url|db_url|dsn$"
    r"|(^|_)(token|jwt|key_hash|encryption_key)$"
)

NAME = r"(?:authorization|passw(?:or)?d|secret|[a-z_-]{0,20}api[_-]?key|apikey|cookie|x-railway-secret)"
LOOKS_SECRET = (
    # A JSON Web Token; the signature of an unsigned one is empty.
    r"\beyJ[\w-]{5,4096}\.[\w-]{5,4096}(?:\.[\w-]{0,2048})?",
    # Our own API keys, wherever they stand: an escape before one makes a word with it.
    r"sy_[A-Za-z0-9]{32,512}",
    # Keys that say who gave them out.
    r"\b(?:sb_secret_|sbp_|sk-|sk_live_|rk_live_|ghp_|xox[abp]-)[\w-]{8,512}",
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?",
)
# The first group of each stays: it says what was there.
FOLLOWS_A_NAME = (
    # postgresql://user:password@host; the password may hold anything but space and quotes.
    r"(\bpostgres(?:ql)?(?:\+\w{1,20})?://)[^\s'\"]{1,512}@",
    # https://user:password@host.
    r"((?<=:)//)[^\s/@'\"]{0,512}@",
    r"([?&](?:token|access_token|refresh_token|apikey|api_key|key|secret|password)=)[^&\s\"'#]{1,8192}",
    r"(\bbearer\s{1,4})[\w.~+/=-]{8,8192}",
    # password=…, 'authorization': '…', (b'x-api-key', b'…').
    # `OPENAI_API_KEY: not set` stays: with the word taken out it would say the contrary.
    rf"(\b{NAME}['\"]?\s{{0,4}}[:=,]\s{{0,4}}(?:b(?=['\"]))?['\"]?)(?!not set\b)"
    r"(?:(?:bearer|basic)\s)?[^\s'\",;&})]{1,8192}",
)

# One of these is in every rendered line that holds something to hide; most lines have none of them.
HINTS = (
    b"eyj", b"sy_", b"sb_", b"sbp_", b"sk-", b"sk_", b"rk_", b"ghp_", b"xox", b"://",
    b"token", b"key", b"secret", b"passw", b"bearer", b"authorization", b"cookie", b"credential",
    b"database_url", b"database-url", b"db_url", b"db-url", b"dsn", b"jwt",
)  # fmt: skip


class Redactor:
    """Cleans values and texts; `secrets` are this installation's own, found wherever they appear."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        own = [secret for secret in secrets if len(secret) >= OWN_SECRET_LENGTH]
        self._hints = (
            *HINTS,
            *(json.dumps(secret, ensure_ascii=False)[1:-1].encode().lower() for secret in own),
        )
        self._secret = re.compile("|".join([*(re.escape(secret) for secret in own), *LOOKS_SECRET]))
        self._named = re.compile("|".join(FOLLOWS_A_NAME), re.IGNORECASE)

    def is_clean(self, line: bytes) -> bool:
        """Whether a line of JSON surely holds nothing to hide; much cheaper than to look for it."""
        lowered = line.lower()
        return len(line) <= TEXT_LIMIT and not any(hint in lowered for hint in self._hints)

    def text(self, text: str) -> str:
        """`text` without secrets, at most `TEXT_LIMIT` characters of it."""
        if len(text) > TEXT_LIMIT:
            half = TEXT_LIMIT // 2
            text = f"{text[:half]} […] {text[-half:]}"
        text = text.encode(errors="replace").decode()  # lone surrogates
        return self._named.sub(_keep_name, self._secret.sub(REDACTED, text))

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The members of one log line."""
        return self._mapping(fields, depth=0)

    def value(self, value: object, *, depth: int = 0) -> object:
        match value:
            case int() if abs(value) >= 2**63:
                return str(value)
            case None | bool() | int() | float() | datetime() | date() | UUID():
                return value
            case str():
                return self.text(str(value))
            case bytes() | bytearray():
                return self.text(value[:TEXT_LIMIT].decode(errors="backslashreplace"))
            case Mapping() | list() | tuple() | set() | frozenset() if depth >= DEPTH_LIMIT:
                return "[too deep]"
            case Mapping():
                return self._mapping(value, depth=depth)
            case list() | tuple() | set() | frozenset():
                return [self.value(each, depth=depth + 1) for each in list(value)[:ITEMS_LIMIT]]
            case _:
                return self.text(_repr(value))

    # Any: keys may be anything, and Mapping does not vary in them.
    def _mapping(self, mapping: Mapping[Any, object], *, depth: int) -> dict[str, object]:
        return {
            self.text(str(key)): self._named_value(str(key), value, depth=depth)
            for key, value in list(mapping.items())[:ITEMS_LIMIT]
        }

    def _named_value(self, name: str, value: object, *, depth: int) -> object:
        if value is None or isinstance(value, bool) or not is_secret_name(name):
            return self.value(value, depth=depth + 1)
        return REDACTED


def is_secret_name(name: str) -> bool:
    # Names of our own are short and come again and again. Others may be anything, and are not kept.
    return _is_secret(name) if len(name) <= NAME_KEPT_CHARS else _is_secret.__wrapped__(name)


@lru_cache(maxsize=2_000)
def _is_secret(name: str) -> bool:
    return SECRET_KEY.search(name.lower().replace("-", "_")) is not None


def _keep_name(match: re.Match[str]) -> str:
    name = next((group for group in match.groups() if group is not None), "")
    return name + REDACTED + ("@" if match[0].endswith("@") else "")


def _repr(value: object) -> str:
    try:
        return repr(value)
    # A line must be written whatever an object does when asked for its name.
    except Exception:
        return f"<{type(value).__name__}>"
