"""An owner for background tasks: none is lost, none outlives its owner, no failure goes unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

__all__ = ["TaskOwner"]

log = structlog.get_logger(__name__)


class TaskOwner:
    """Starts tasks and ends them all together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    # Any: a task's result is its awaiter's business; the owner only watches that it ends.
    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start `work`; a failure is logged, never swallowed."""
        task = asyncio.create_task(work, name=f"{self._name}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def every(self, name: str, *, seconds: float, work: Callable[[], Awaitable[None]]) -> asyncio.Task[Any]:
        """Call `work` again and again, `seconds` apart; a failing call is logged and the next one comes."""
        return self.spawn(name, self._repeat(name, seconds, work))

    async def stop(self, *, within_s: float = 5.0) -> None:
        """Cancel what still runs and wait for it at most `within_s` seconds."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within_s)
            for task in late:
                log.warning("task_did_not_stop", task=task.get_name(), within_s=within_s)

    def __len__(self) -> int:
        return len(self._tasks)

    async def _repeat(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("periodic_work_failed", work=name)
            await asyncio.sleep(seconds)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
