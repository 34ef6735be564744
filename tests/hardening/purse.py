"""How many retries a process can still spend, told from outside: never more than it really has.

A process's budget is full at its start, every call puts a fifth of a retry in, and what is above the brim is
lost (see `heavy_agents/llm/budget.py`). A fault that is to be tried again first reserves what that may take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from heavy_agents.llm.budget import MOST, PER_CALL, PER_RETRY

__all__ = ["Purse"]


class Purse:
    """In fifths, as the budget counts."""

    def __init__(self) -> None:
        self._free = MOST
        # With what is reserved, and with what calls under way will put in.
        self._whole = MOST

    @property
    def has_room(self) -> bool:
        """Whether one more call earns anything."""
        return self._whole + PER_CALL <= MOST

    def reserve(self, retries: int) -> bool:
        """Keep so many from others; false when there are not as many."""
        if self._free < retries * PER_RETRY:
            return False
        self._free -= retries * PER_RETRY
        return True

    def spent(self, retries: int) -> None:
        """What was reserved is gone, whether it was needed or not."""
        self._whole -= retries * PER_RETRY

    @contextmanager
    def earning(self) -> Iterator[None]:
        """A call; what it earns is there once it is over."""
        earns = self.has_room
        self._whole += PER_CALL * earns
        yield
        self._free += PER_CALL * earns
