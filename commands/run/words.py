"""What one message of a run says to a person, in one line and without anything a terminal would obey.

Pure. Names, notes, tool results and text come from models and strangers' pages: an escape sequence among them
could rewrite the screen, so control characters never pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

__all__ = ["MARKS", "Message", "clean", "duration", "line_of", "one_line", "plural", "size", "spent"]

# Any: a message of the wire; `protocol.md` and `docs/chat.md` list its fields.
Message = dict[str, Any]

SHORT_CHARS: Final = 96
MINUTE_MS: Final = 60_000
SECOND_MS: Final = 1_000
KILO: Final = 1_000

# What turns text around is as able to deceive as what moves the cursor.
OBEYED: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Before a line on a screen: what it is, at a glance.
MARKS: Final[Mapping[str, str]] = {
    "tool_call": "→",
    "tool_result": "←",
    "progress": "·",
    "artifact": "+",
    "retry": "↺",
    "done": "✓",
    "error": "✗",
}


def line_of(message: Message, *, base_url: str) -> str | None:
    """The line of `message`; None for text, which is shown as it is, and for the beginning."""
    match message["type"]:
        case "chunk" | "started":
            return None
        case "progress":
            return f"{message.get('fraction') or 0:.0%} {one_line(message.get('note'))}".rstrip()
        case "tool_call":
            return f"{one_line(message.get('name'))} {one_line(message.get('arguments'))}".rstrip()
        case "tool_result":
            return _result(message)
        case "artifact":
            name, bytes_ = one_line(message.get("name")), size(message.get("size") or 0)
            return f"{name}, {bytes_}, {base_url}{clean(str(message.get('url', '')))}"
        case "retry":
            again = f"(attempt {message.get('attempt')})"
            return f"{one_line(message.get('step'))} is begun again {again}; its text so far does not count"
        case "done":
            return f"succeeded in {duration(message.get('executionTime') or 0)}, {spent(message)}"
        case "error":
            code, told = one_line(message.get("code")), clean(str(message.get("error") or ""))
            return f"{code}: {told}, {spent(message)}"
        case other:
            rest = {name: each for name, each in message.items() if name not in {"type", "runId", "seq"}}
            return f"{one_line(other)} {one_line(rest)}"


def clean(text: str) -> str:
    """`text` with line breaks and tabs, and without any other character that a terminal obeys."""
    return OBEYED.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(value: object, *, limit: int = SHORT_CHARS) -> str:
    """A value of JSON in at most `limit` characters and no line break."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    joined = clean(" ".join(text[: limit * 4].split()))
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def duration(took_ms: int) -> str:
    if took_ms < SECOND_MS:
        return f"{took_ms} ms"
    if took_ms < MINUTE_MS:
        return f"{took_ms / SECOND_MS:.1f} s"
    minutes, rest_ms = divmod(took_ms, MINUTE_MS)
    return f"{minutes} min {rest_ms // SECOND_MS} s"


def size(size_bytes: int) -> str:
    if size_bytes < KILO:
        return plural(size_bytes, "byte")
    if size_bytes < KILO**2:
        return f"{size_bytes / KILO:.1f} kB"
    return f"{size_bytes / KILO**2:.1f} MB"


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def spent(message: Message) -> str:
    return f"{plural(message.get('creditsUsed') or 0, 'credit')} used"


def _result(message: Message) -> str:
    name = one_line(message.get("name"))
    if message.get("ok") is False:
        return f"{name} failed: {one_line(message.get('error') or message.get('result'))}"
    return f"{name} {one_line(message.get('result'))}".rstrip()
