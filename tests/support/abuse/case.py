"""One abuse: what is sent, where and in which manner, and how the other end may take it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["OPEN", "Case", "Manner", "Place", "Way", "everywhere"]

# How a case ends: a close code; a status below 1000; `open`: the socket still answers; `end` and `reset`: the
# connection was closed without a word; `left`: the client has gone, and nobody can tell it anything.
Way = int | str
OPEN = frozenset[Way]({"open"})


class Place(Enum):
    """Where the bytes go: in place of an opening, before the sign-in, or after it."""

    RAW = auto()
    STRANGER = auto()
    MEMBER = auto()


class Manner(Enum):
    """
    DRIP: one byte at a time
    PIECES: cut at random places
    RESET, HALF: the client resets the connection after it, or only its own half ends
    UNREAD: the client reads nothing until it has sent all it can
    """

    WHOLE = auto()
    DRIP = auto()
    PIECES = auto()
    RESET = auto()
    HALF = auto()
    UNREAD = auto()


@dataclass(frozen=True)
class Case:
    """`sends` are bytes, and between them seconds to wait."""

    name: str
    place: Place
    sends: tuple[bytes | float, ...]
    wants: frozenset[Way]
    manner: Manner = Manner.WHOLE


def everywhere(
    name: str, *sends: bytes | float, wants: frozenset[Way], manner: Manner = Manner.WHOLE
) -> list[Case]:
    """The same from somebody who has not signed in and from somebody who has."""
    return [Case(name, place, sends, wants, manner) for place in (Place.STRANGER, Place.MEMBER)]
