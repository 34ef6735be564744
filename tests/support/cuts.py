"""Where and how a reader's connection breaks, drawn at random.

Pure. A cut counts as hit only if the reader had not been told everything by then.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

from tests.support.tails import Tail

__all__ = ["Cut", "How", "When", "draw", "is_in_letter", "is_terminal"]

# How the message of a terminal event begins, in the names of both transports.
ENDS = tuple(
    b'{"type":"%b"' % name
    for name in (b"done", b"error", b"agent_execution_complete", b"agent_execution_error")
)


class When(Enum):
    """
    REQUEST: in the middle of what the client says
    HEAD: in the head of the answer, or soon after it
    BYTES: after any number of bytes
    LETTER: between the bytes of one character
    TIME: after any time
    BEFORE_END: while the terminal event arrives
    AFTER_END: once it is here, before the server has said that this is all
    """

    REQUEST = auto()
    HEAD = auto()
    BYTES = auto()
    LETTER = auto()
    TIME = auto()
    BEFORE_END = auto()
    AFTER_END = auto()


class How(Enum):
    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()


@dataclass(frozen=True)
class Cut:
    """
    after: bytes of the request or of the answer, or seconds
    buffer_bytes: what the client's system holds of what it has not read; None for what it likes
    """

    when: When
    how: How
    after: float
    buffer_bytes: int | None

    @property
    def step_bytes(self) -> int:
        """How much may be looked at between two looks at whether it hits."""
        return {When.LETTER: 1, When.BEFORE_END: 16, When.AFTER_END: 3}.get(self.when, 65_536)

    def is_due(self, tail: Tail, *, fed_bytes: int) -> bool:
        match self.when:
            case When.HEAD | When.BYTES:
                return fed_bytes >= self.after
            case When.LETTER:
                return fed_bytes >= self.after and is_in_letter(tail.pending)
            case When.BEFORE_END:
                return any(end in tail.pending for end in ENDS)
            case When.AFTER_END:
                return bool(tail.told) and is_terminal(tail.told[-1])
            case When.REQUEST | When.TIME:
                return False


def draw(dice: random.Random) -> Cut:
    when = dice.choice(list(When))
    after = {
        When.REQUEST: dice.randint(1, 150),
        When.HEAD: dice.randint(1, 300),
        # As many short ways as long ones.
        When.BYTES: round(300 * 2 ** dice.uniform(0, 8)),
        When.LETTER: round(300 * 2 ** dice.uniform(0, 6)),
        When.TIME: dice.uniform(0.0, 0.15),
    }.get(when, 0)
    return Cut(when, dice.choice(list(How)), after, dice.choice([None, 4096]))


def is_terminal(message: bytes) -> bool:
    return message.startswith(ENDS)


def is_in_letter(text: bytes) -> bool:
    """Whether UTF-8 ends between the bytes of one character."""
    for count, byte in enumerate(reversed(text[-3:]), 1):
        if byte < 0x80:
            return False
        if byte >= 0xC0:
            return count < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
    return False
