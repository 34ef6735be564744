"""Right beginnings and one wrong frame after them, drawn from a seed; how each is made says how it ends."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.abuse.case import OPEN, Case, Manner, Place, Way
from tests.support.bare import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

__all__ = ["generated_cases"]

LIMIT_BYTES = 256 * 1024
MANNERS = (Manner.WHOLE, Manner.PIECES, Manner.PIECES, Manner.DRIP)


def generated_cases(count: int, dice: random.Random) -> list[Case]:
    return [_case(number, dice) for number in range(count)]


def _case(number: int, dice: random.Random) -> Case:
    is_inside = dice.random() < 0.5
    name, sent, code = dice.choice(INSIDE if is_inside else OUTSIDE)(dice)
    before = _harmless(dice) + (_begun(dice) if is_inside else b"")
    place = dice.choice([Place.STRANGER, Place.MEMBER])
    wants: frozenset[Way] = OPEN if code is None else frozenset({code})
    where = "inside a message" if is_inside else "between messages"
    manner = dice.choice(MANNERS) if len(sent) < 2_000 else Manner.PIECES
    return Case(f"generated {number}: {name} {where}", place, (before + sent,), wants, manner)


def _harmless(dice: random.Random) -> bytes:
    """Pings and pongs, masked in any way, of any length they may have."""
    return b"".join(
        frame(dice.choice([PING, PONG]), dice.randbytes(dice.randint(0, 125)), mask=dice.randbytes(4))
        for _ in range(dice.randint(0, 8))
    )


def _begun(dice: random.Random) -> bytes:
    """A message that goes on, with harmless frames between its fragments."""
    pieces = [frame(TEXT, b"{", fin=False)]
    for _ in range(dice.randint(0, 5)):
        pieces += [frame(CONT, b" " * dice.randint(0, 9), fin=False), _harmless(dice)]
    return b"".join(pieces)


# What, its bytes, and the code it ends with; None when it is no mistake.
Mistake = tuple[str, bytes, int | None]
Make = Callable[[random.Random], Mistake]


def _reserved_bits(dice: random.Random) -> Mistake:
    bits = dice.randint(1, 7)
    return f"bits {bits}", frame(dice.choice([TEXT, PING, CONT]), b"x", reserved=bits), 1002


def _reserved_opcode(dice: random.Random) -> Mistake:
    opcode = dice.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    return f"opcode {opcode}", frame(opcode, dice.randbytes(dice.randint(0, 300))), 1002


def _unmasked(dice: random.Random) -> Mistake:
    return "no mask", frame(dice.choice([TEXT, PING, CLOSE]), b"", mask=None), 1002


def _long_control(dice: random.Random) -> Mistake:
    size = dice.randint(126, 70_000)
    return f"a control frame of {size}", frame(dice.choice([PING, PONG, CLOSE]), bytes(size)), 1002


def _open_control(dice: random.Random) -> Mistake:
    return "a control frame to be continued", frame(dice.choice([PING, PONG, CLOSE]), fin=False), 1002


def _bad_close(dice: random.Random) -> Mistake:
    code = dice.choice([*range(1000), 1004, 1005, 1006, *range(1015, 3000), *range(5000, 65_536)])
    return f"close code {code}", close_frame(code, b"why"), 1002


def _bad_reason(dice: random.Random) -> Mistake:
    return "a broken reason", close_frame(1000, b"ok" * dice.randint(0, 50) + b"\xc3\x28"), 1007


def _claim(dice: random.Random) -> Mistake:
    size = dice.choice([LIMIT_BYTES + 1, 2**31, 2**32, 2**62, dice.randint(LIMIT_BYTES + 1, 2**63)])
    return f"a length of {size}", frame(dice.choice([TEXT, BINARY, CONT]), claims=size, width=8), 1009


def _loose_end(dice: random.Random) -> Mistake:
    return "a continuation", frame(CONT, b"x", fin=dice.random() < 0.5), 1002


def _no_text(dice: random.Random) -> Mistake:
    return "no text", frame(TEXT, b"ok" * dice.randint(0, 90) + b"\xf8\x88\x80\x80\x80"), 1007


def _unfit(dice: random.Random) -> Mistake:
    opcode = dice.choice([TEXT, BINARY])
    return "no message", frame(opcode, bytes(dice.choices(range(32, 127), k=50))), 4400


def _nothing(_: random.Random) -> Mistake:
    return "no mistake", b"", None


def _message_inside(dice: random.Random) -> Mistake:
    return "a new message", frame(dice.choice([TEXT, BINARY]), b"{}"), 1002


def _broken_end(_: random.Random) -> Mistake:
    return "an end that is no text", frame(CONT, b"\xff"), 1007


def _unfit_end(_: random.Random) -> Mistake:
    return "an end that is no JSON", frame(CONT, b"]"), 4400


ANYWHERE: list[Make] = [
    _reserved_bits,
    _reserved_opcode,
    _unmasked,
    _long_control,
    _open_control,
    _bad_close,
    _bad_reason,
    _claim,
]
OUTSIDE: list[Make] = [*ANYWHERE, _loose_end, _no_text, _unfit, _nothing, _nothing]
INSIDE: list[Make] = [*ANYWHERE, _message_inside, _broken_end, _unfit_end]
