"""One light answer as its readers see it: events numbered 1, 2, 3 …, in memory and gone with it.

The events are those of a run's log, and one ends them: `done` or `failed`. Whoever writes never waits for
whoever reads; an answer is no longer than a model's may be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

from foundation.errors import HeavyError, Json
from heavy_agents.credits import Usage
from heavy_agents.events import Event

__all__ = ["LightAnswer"]

# As a run's only turn is called.
STEP = "turn-1"


class LightAnswer:
    def __init__(self, agent_id: UUID) -> None:
        self.agent_id = agent_id
        self.error: HeavyError | None = None  # why there is no answer, once it has ended without one
        self._began_s = time.monotonic()
        self._events: list[Event] = []
        self._texts: list[str] = []
        self._news = asyncio.Event()
        self._add("started", {"agentId": str(agent_id)})

    @property
    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self._began_s) * 1000)

    @property
    def has_ended(self) -> bool:
        return self._events[-1].is_terminal

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._texts)

    def say(self, content: str) -> None:
        self._texts.append(content)
        self._add("chunk", {"content": content, "step": STEP})

    def succeed(self, response: str, *, charged: int, usage: Usage) -> None:
        """
        Args:
            charged: whole credits, settled before this is told.
        """
        self._add(
            "done",
            {
                "response": response,
                "executionTime": self.elapsed_ms,
                "creditsUsed": charged,
                "usage": usage.to_json(),
            },
        )

    def fail(self, error: HeavyError) -> None:
        """Nothing is charged."""
        self.error = error
        partial = self.text or None
        self._add(
            "failed", {"error": error.detail, "code": error.code, "response": partial, "creditsUsed": 0}
        )

    async def follow(self) -> AsyncIterator[list[Event]]:
        """The events from the first to the last, as many at a time as there are."""
        seen = 0
        while True:
            fresh = self._events[seen:]
            if fresh:
                seen += len(fresh)
                yield fresh
                if fresh[-1].is_terminal:
                    return
            else:
                news = self._news
                await news.wait()

    async def ended(self) -> Event:
        """The last event, once it is there."""
        while not self.has_ended:
            await self._news.wait()
        return self._events[-1]

    def _add(self, type_: str, data: dict[str, Json]) -> None:
        self._events.append(Event(len(self._events) + 1, type_, data))
        news, self._news = self._news, asyncio.Event()
        news.set()
