"""Which text of a run counts: in order, each word once, without what a `retry` took back.

Pure. Messages are numbered without a gap, so a place is one number: what is not after it was seen before, and
what is not right after it is missing something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from commands.run.words import Message

__all__ = ["Order", "Transcript"]


class Order(Enum):
    """Where a message stands to those that were taken."""

    NEXT = auto()
    SEEN = auto()
    GAP = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    seq: int
    step: str
    content: str


@dataclass(slots=True)
class Transcript:
    """`seq` is the number of the last message taken."""

    seq: int = 0
    _pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(piece.content for piece in self._pieces)

    def order_of(self, message: Message) -> Order:
        if message["seq"] <= self.seq:
            return Order.SEEN
        return Order.NEXT if message["seq"] == self.seq + 1 else Order.GAP

    def take(self, message: Message) -> int:
        """Take the next message; how many characters it takes back."""
        self.seq = message["seq"]
        if message["type"] == "chunk":
            self._pieces.append(Piece(self.seq, message.get("step") or "", message.get("content") or ""))
        if message["type"] != "retry":
            return 0
        before = len(self.text)
        self._pieces = [
            piece
            for piece in self._pieces
            if piece.step != message["step"] or piece.seq <= message["discardAfter"]
        ]
        return before - len(self.text)

    def has_said(self, response: str) -> bool:
        """Whether the answer stands at the end of the text already."""
        return self.text.rstrip().endswith(response.strip())
