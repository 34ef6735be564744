"""Talking to the database from synchronous code, which is what Hypothesis runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from tests.support.sql import Sql, talking

__all__ = ["Talk", "talk"]

T = TypeVar("T")


class Talk:
    """`talk.do(talk.sql.…)`, on a loop of its own."""

    def __init__(self, runner: asyncio.Runner, sql: Sql) -> None:
        self._runner = runner
        self.sql = sql

    # Any: what a coroutine is sent and yields is the loop's business.
    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


@contextmanager
def talk(url: str, *, size: int = 1) -> Iterator[Talk]:
    """`size`: how many calls may be made at once."""
    # With a factory the runner leaves the thread's current loop, which is pytest's, alone.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()
        sql = runner.run(stack.enter_async_context(talking(url, size=size)))
        try:
            yield Talk(runner, sql)
        finally:
            runner.run(stack.aclose())
