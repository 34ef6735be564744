"""Messages whose frames are right and whose text is not."""

from __future__ import annotations

from tests.support.abuse.case import OPEN, Case, Manner, Place, Way, everywhere
from tests.support.bare import BINARY, PING, TEXT, frame, message, text

__all__ = ["message_cases"]

LIMIT_BYTES = 256 * 1024
UNREADABLE = frozenset[Way]({4400})
REFUSED = frozenset[Way]({4401})
TOO_BIG = frozenset[Way]({1009})

UNREADABLE_TEXTS = {
    "nothing": b"",
    "a word": b"hello",
    "a number": b"1",
    "a list": b"[]",
    "half an object": b'{"type": "ping"',
    "two objects": b'{"type": "ping"}{"type": "ping"}',
    "100,000 brackets": b"[" * 100_000,
    "objects 50,000 deep": b'{"a":' * 50_000,
    "a NUL": b'{"type": "ping"\x00}',
    "a lone surrogate": b'{"type": "ping", "a": "\\ud800"}',
    "not a number": b'{"type": "ping", "a": NaN}',
    "a byte order mark": b'\xef\xbb\xbf{"type": "ping"}',
    "a type that is a list": b'{"type": ["ping"]}',
}
# What is said last counts, and what else a ping holds is not looked at.
HARMLESS_TEXTS = {
    "one key twice": b'{"type": "auth", "type": "ping"}',
    "a NUL in a ping": b'{"type": "ping", "a": "\\u0000"}',
    "99,999 digits": b'{"type": "ping", "a": 1' + b"0" * 100_000 + b"}",
    "a tiny number": b'{"type": "ping", "a": 1e-999999}',
    "100 levels": b'{"type": "ping", "a": ' + b"[" * 100 + b"]" * 100 + b"}",
    "an unknown type": b'{"type": "shutdown"}',
    "a resume of nothing": b'{"type": "agent_resume"}',
    "a resume from below zero": b'{"type": "agent_resume", "runId": "x", "after": -1}',
    "a cancel of somebody": b'{"type": "agent_cancel", "runId": "00000000-0000-0000-0000-000000000000"}',
    "20,000 unknown fields": b'{"type": "agent_cancel", "runId": "x"'
    + b"".join(b', "f%d": 1' % number for number in range(15_000))
    + b"}",
}


def message_cases() -> list[Case]:
    return [*_texts(), *_sizes(), *_strangers()]


def _texts() -> list[Case]:
    unreadable = [
        case
        for name, said in UNREADABLE_TEXTS.items()
        for case in everywhere(name, frame(TEXT, said), wants=UNREADABLE)
    ]
    harmless = [
        Case(name, Place.MEMBER, (frame(TEXT, said),), OPEN | UNREADABLE)
        for name, said in HARMLESS_TEXTS.items()
    ]
    return [
        *unreadable,
        *harmless,
        *everywhere("bytes", frame(BINARY, b'{"type": "ping"}'), wants=UNREADABLE),
        *everywhere("no bytes", frame(BINARY), wants=UNREADABLE),
    ]


def _sizes() -> list[Case]:
    fine = _ping_of(LIMIT_BYTES)
    thousand = [fine[at : at + 264] for at in range(0, len(fine), 264)]
    return [
        Case("just under the limit", Place.MEMBER, (frame(TEXT, _ping_of(LIMIT_BYTES - 1)),), OPEN),
        Case("at the limit", Place.MEMBER, (frame(TEXT, fine),), OPEN),
        Case("at the limit in 1,000 fragments", Place.MEMBER, (text(*thousand),), OPEN),
        Case("at the limit, cut anywhere", Place.MEMBER, (frame(TEXT, fine),), OPEN, Manner.PIECES),
        Case("a message one byte at a time", Place.MEMBER, (message("ping"),), OPEN, Manner.DRIP),
        Case(
            "a message in fragments of a byte, with pings between",
            Place.MEMBER,
            (_letters(b'{"type": "ping"}'),),
            OPEN,
        ),
        *everywhere("just over the limit", frame(TEXT, _ping_of(LIMIT_BYTES + 1)), wants=TOO_BIG),
        *everywhere("over the limit by its last byte", text(fine, b" "), wants=TOO_BIG),
    ]


def _strangers() -> list[Case]:
    """Whoever has not signed in is heard only once."""
    said = {
        "a ping": message("ping"),
        "an execute": message("agent_execute", agentId="x", messages=[]),
        "a resume": message("agent_resume", runId="x"),
        "a token that is none": message("auth", token="x"),
        "a token of 200 kB": message("auth", token="x" * 200_000),
        "a token that is no text": frame(TEXT, b'{"type": "auth", "token": {}}'),
        "an auth without a token": message("auth"),
    }
    return [
        Case(f"{name} before the sign-in", Place.STRANGER, (sent,), REFUSED | UNREADABLE)
        for name, sent in said.items()
    ]


def _ping_of(size_bytes: int) -> bytes:
    head, tail = b'{"type": "ping", "a": "', b'"}'
    return head + b"x" * (size_bytes - len(head) - len(tail)) + tail


def _letters(said: bytes) -> bytes:
    whole = text(*(said[at : at + 1] for at in range(len(said))))
    one = len(frame(TEXT, b"x"))
    return b"".join(whole[at : at + one] + frame(PING, b"x") for at in range(0, len(whole), one))
