"""Frames as no client may send them, and some that it may, written by hand."""

from __future__ import annotations

from tests.support.abuse.case import OPEN, Case, Manner, Way, everywhere
from tests.support.bare import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame, message

__all__ = ["frame_cases"]

KILO = 1024
BROKEN = frozenset[Way]({1002})
TOO_BIG = frozenset[Way]({1009})
NO_TEXT = frozenset[Way]({1007})
LIMITED = frozenset[Way]({4429})
LEFT = frozenset[Way]({"left"})
# A close is answered with its own code, or with none when it has none.
ENDED = frozenset[Way]({1000, 1005})
FLOOD = 20_000


def frame_cases() -> list[Case]:
    return [*_heads(), *_lengths(), *_fragments(), *_closes(), *_floods(), *_departures()]


def _heads() -> list[Case]:
    """Reserved bits and opcodes, masks."""
    cases = [
        case
        for bits in (1, 2, 4, 7)
        for case in everywhere(f"reserved bits {bits}", frame(PING, b"x", reserved=bits), wants=BROKEN)
    ]
    for opcode in (3, 7, 11, 15):
        cases += everywhere(f"reserved opcode {opcode}", frame(opcode, b"x"), wants=BROKEN)
    # As permessage-deflate would, which was not agreed upon.
    cases += everywhere("a compressed text", frame(TEXT, b"\xaaV*\x03\x00", reserved=4), wants=BROKEN)
    for opcode in (TEXT, BINARY, PING, CLOSE):
        cases += everywhere(f"an unmasked {opcode}", frame(opcode, b"", mask=None), wants=BROKEN)
    cases += everywhere("a mask of zeros", frame(PING, b"x", mask=bytes(4)), wants=OPEN)
    return cases


def _lengths() -> list[Case]:
    head_of_much = frame(TEXT, claims=1_000_000, width=8)
    cases = [
        *everywhere("a control frame of 126 bytes", frame(PING, b"x" * 126), wants=BROKEN),
        *everywhere("a control frame of 64 kB", frame(PONG, b"x" * 65_536), wants=BROKEN),
        *everywhere("a close of 126 bytes", close_frame(1000, b"x" * 124), wants=BROKEN),
        *everywhere("a control frame of 125 bytes", frame(PING, b"x" * 125), wants=OPEN),
        *everywhere("the longest length", frame(TEXT, claims=2**63 - 1, width=8), wants=TOO_BIG),
        *everywhere(
            "a length with its sign bit", frame(TEXT, claims=2**64 - 1, width=8), wants=BROKEN | TOO_BIG
        ),
        *everywhere("a length of more than the limit", head_of_much, b"x" * 100, wants=TOO_BIG),
        *everywhere("a binary of more than the limit", frame(BINARY, bytes(257 * KILO)), wants=TOO_BIG),
    ]
    # The library takes what the RFC forbids to send; it harms nobody.
    for width in (2, 8):
        cases += everywhere(
            f"a short length in {width} bytes", frame(PING, b"x", width=width), wants=OPEN | BROKEN
        )
    return cases


def _fragments() -> list[Case]:
    begun = frame(TEXT, b'{"type": ', fin=False)
    many = frame(CONT, b"x", fin=False)
    return [
        *everywhere("a fragmented ping", frame(PING, b"x", fin=False), wants=BROKEN),
        *everywhere("a fragmented close", frame(CLOSE, fin=False), wants=BROKEN),
        *everywhere("a continuation of nothing", frame(CONT, b"x"), wants=BROKEN),
        *everywhere("an open continuation of nothing", frame(CONT, b"x", fin=False), wants=BROKEN),
        *everywhere("a text inside a text", begun, frame(TEXT, b"{}"), wants=BROKEN),
        *everywhere("a binary inside a text", begun, frame(BINARY, b"{}"), wants=BROKEN),
        *everywhere("a close inside a text", begun, close_frame(1000), wants=BROKEN | ENDED),
        *everywhere(
            "more than the limit in fragments",
            frame(TEXT, bytes(200 * KILO), fin=False),
            frame(CONT, bytes(57 * KILO)),
            wants=TOO_BIG,
        ),
        *everywhere("fragments without an end", begun + many * FLOOD, wants=LIMITED),
        *everywhere("empty fragments without an end", begun + frame(CONT, fin=False) * FLOOD, wants=LIMITED),
        *everywhere(
            "a broken letter over two fragments",
            frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"\x28"),
            wants=NO_TEXT,
        ),
        *everywhere("bytes that are no text", frame(TEXT, b"\xff\xfe"), wants=NO_TEXT),
        *everywhere("a surrogate as UTF-8", frame(TEXT, b"\xed\xa0\x80"), wants=NO_TEXT),
        *everywhere("half a letter", frame(TEXT, b"\xf0\x9f\x98"), wants=NO_TEXT),
        # The answer to the close may already be written when the text is looked at.
        *everywhere(
            "no text, and a close with it", frame(TEXT, b"\xff") + close_frame(1000), wants=NO_TEXT | ENDED
        ),
    ]


def _closes() -> list[Case]:
    cases = [
        case
        for code in (0, 999, 1005, 1006, 1015, 5000)
        for case in everywhere(f"a close with {code}", close_frame(code), wants=BROKEN)
    ]
    cases += everywhere("a close of one byte", frame(CLOSE, b"\x03"), wants=BROKEN)
    cases += everywhere("a close with a broken reason", close_frame(1000, b"\xff"), wants=NO_TEXT)
    cases += everywhere("a close without a code", frame(CLOSE), wants=ENDED)
    cases += everywhere("data after a close", close_frame(1000) + message("ping") * 100, wants=ENDED)
    cases += everywhere("garbage after a close", close_frame(1000) + b"\xff" * 9_999, wants=ENDED)
    cases += everywhere("two closes", close_frame(1000) * 2, wants=ENDED)
    return cases


def _floods() -> list[Case]:
    ping = frame(PING, b"x" * 125)
    cut_off = frozenset[Way]({4429, "end", "reset"})
    return [
        *everywhere("a thousand pings", frame(PING, b"x") * 1_000, wants=OPEN),
        *everywhere("a flood of pings", ping * FLOOD, wants=cut_off),
        *everywhere("a flood of pings and no reading", ping * FLOOD, wants=cut_off, manner=Manner.UNREAD),
        *everywhere("a flood of pongs", frame(PONG) * FLOOD, wants=cut_off),
        *everywhere("a flood of empty texts", frame(TEXT) * FLOOD, wants=frozenset({4400, 4401, 4429})),
    ]


def _departures() -> list[Case]:
    half = frame(TEXT, b"x" * 1_000)[:500]
    cases = []
    for name, sent in {
        "nothing": b"",
        "half a head": half[:3],
        "half a frame": half,
        "an open fragment": frame(TEXT, b"x", fin=False),
        "pings": frame(PING, b"x") * 100,
        "a broken frame": frame(3, b"x"),
        "a close": close_frame(1000),
    }.items():
        cases += everywhere(f"a reset after {name}", sent, wants=LEFT, manner=Manner.RESET)
    gone = frozenset[Way]({"end", "reset", 1000, 1002, 1006})
    for name, sent in {"nothing": b"", "half a frame": half, "pings": frame(PING) * 100}.items():
        cases += everywhere(f"half an end after {name}", sent, wants=gone, manner=Manner.HALF)
    return cases
