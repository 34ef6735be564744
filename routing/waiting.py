"""How to wait for several things at once: the first one counts, the others are ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

__all__ = ["closing", "first_of", "left", "unless_left"]

T = TypeVar("T")


async def first_of(*works: Coroutine[object, None, T]) -> T:
    """What the first to end returns or raises; the earliest argument when several end together."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unless_left(receive: Receive, work: Coroutine[object, None, T]) -> T:
    """What `work` returns, unless the client leaves before.

    Raises:
        ClientDisconnect: nobody is there to be answered.
    """

    async def watch() -> T:
        await left(receive)
        raise ClientDisconnect

    return await first_of(work, watch())


async def left(receive: Receive) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def closing(batches: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close an iterator that is left early at once, not when it is collected."""
    try:
        yield batches
    finally:
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()
