"""How long a run waits for a backend that is away, and how often it asks meanwhile.

A stream that has lived for a while, or a message of it, is a sign that the other is well: what goes wrong
after that is a new trouble, with all the patience there is.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from heavy_agents.agents.remote.errors import Away

__all__ = ["Patience"]

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
SOUND_S: Final = 20.0


class Patience:
    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._since_s = self._loop.time()
        self._opened_s: float | None = None
        self._pause_s = FIRST_PAUSE_S

    @property
    def is_over(self) -> bool:
        return self._loop.time() - self._since_s >= self._patience_s

    def opened(self) -> None:
        """A stream has begun."""
        self._opened_s = self._loop.time()

    def got_on(self) -> None:
        """A message has come."""
        self._since_s, self._pause_s = self._loop.time(), FIRST_PAUSE_S

    def closed(self) -> None:
        """The stream has ended, or none could be had."""
        if self._opened_s is not None and self._loop.time() - self._opened_s >= SOUND_S:
            self.got_on()
        elif self._opened_s is not None and self._pause_s == FIRST_PAUSE_S:
            # It was well until just now.
            self._since_s = self._loop.time()
        self._opened_s = None

    async def pause(self, away: Away) -> None:
        """Twice as long as the last one, and as long as the other asks for; not all come back together."""
        pause_s = self._pause_s * (0.75 + secrets.randbelow(251) / 1000)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        left_s = max(self._since_s + self._patience_s - self._loop.time(), 0)
        await asyncio.sleep(min(max(pause_s, away.retry_after_s), left_s))
