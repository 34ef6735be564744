"""A limit for each of many short waits, one after another, with one timer for all of them.

To arm and to disarm a timer costs more than to receive a few bytes. So an armed one stays: when it fires it
looks whether the present wait is over its limit, and if not, comes again when it would be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["Waits"]

T = TypeVar("T")


class Waits:
    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None  # who waits now
        self._due_s = 0.0
        self._is_late = False

    async def within(self, limit_s: float | None, waited_for: Awaitable[T]) -> T:
        """What is waited for; one wait at a time.

        Raises:
            TimeoutError: it did not come within `limit_s` seconds; it was cancelled.
        """
        task = asyncio.current_task()
        if limit_s is None or task is None:
            return await waited_for
        before = task.cancelling()
        self._arm(limit_s)
        self._task, self._is_late = task, False
        try:
            return await waited_for
        except asyncio.CancelledError:
            # Somebody else may want this task to end as well.
            if self._is_late and task.uncancel() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def close(self) -> None:
        """Between two waits, when no other is to come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + limit_s
        if self._timer is not None and self._timer.when() > self._due_s:
            self.close()
        if self._timer is None:
            self._timer = loop.call_at(self._due_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._task is None:
            return
        if loop.time() < self._due_s:
            self._timer = loop.call_at(self._due_s, self._look, loop)
        else:
            self._is_late = True
            self._task.cancel()
