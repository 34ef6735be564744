"""Where a reader stands and what it names: the number of the last event it has seen, the ids in its paths.

Pure. A reconnecting browser repeats the address it began with and adds `Last-Event-ID`, so the header counts.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from foundation.errors import BadCursor, NotFound, RunNotFound

__all__ = ["parse_after", "parse_before", "parse_id", "parse_run_id"]

NUMBER: Final = re.compile(r"[0-9]{1,10}")
NEWEST_POSSIBLE: Final = 2**31 - 1
UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse_after(*, after: str | None, last_event_id: str | None) -> int:
    """The number after which events are wanted; 0 when neither is given.

    Raises:
        BadCursor: no event can have that number; also where the other one counts. An empty header is none, as
            browsers mean it; an empty `after` is a mistake that would begin anew in silence.
    """
    given = (last_event_id or None, after)
    positions = [_position(text.strip()) for text in given if text is not None]
    return positions[0] if positions else 0


def parse_before(before: str | None) -> UUID | None:
    """The run a page ends before; None for the newest page.

    Raises:
        BadCursor: it is no run's id.
    """
    if before is None:
        return None
    if UUID_TEXT.fullmatch(before) is None:
        raise BadCursor("`before` is the id of a run, as `next` of the page before it said")
    return UUID(before)


def parse_run_id(text: str) -> UUID:
    """
    Raises:
        RunNotFound: no run has such an id, so it reads as any unknown one.
    """
    return parse_id(text, unknown=RunNotFound("no such run, or it is not yours"))


def parse_id(text: str, *, unknown: NotFound) -> UUID:
    """Raises `unknown`: nothing has such an id, so it reads as any other that is not there."""
    if UUID_TEXT.fullmatch(text) is None:
        raise unknown
    return UUID(text)


def _position(text: str) -> int:
    if NUMBER.fullmatch(text) is None or int(text) > NEWEST_POSSIBLE:
        raise BadCursor("a position is the `seq` of an event, a whole number from 0")
    return int(text)
