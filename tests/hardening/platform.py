"""What a platform does: replicas that have ended start again, those that eat too much are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from tests.hardening.fleet import Fleet, Place

__all__ = ["looked_after"]

LOOK_S = 0.05
# One that is started may claim at once what kills it.
MOST_TRIES = 20


@asynccontextmanager
async def looked_after(fleet: Fleet, *, memory_mb: int) -> AsyncIterator[None]:
    """How replicas end is in the fleet's `deaths`.

    Args:
        memory_mb: more than this resident, and a replica is killed without a word, as by the kernel.
    """
    fleet.most_tries = MOST_TRIES
    looking = asyncio.create_task(_look_for_ever(fleet, memory_mb * 1_000_000))
    try:
        yield
        if looking.done():
            looking.result()
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def _look_for_ever(fleet: Fleet, most_bytes: int) -> None:
    while True:
        for place in fleet.places:
            await _look_at(fleet, place, most_bytes)
        await asyncio.sleep(LOOK_S)


async def _look_at(fleet: Fleet, place: Place, most_bytes: int) -> None:
    if place.server is None:
        return
    process = place.server.process
    if process.returncode is None:
        try:
            is_too_large = psutil.Process(process.pid).memory_info().rss > most_bytes
        except psutil.NoSuchProcess:
            return
        if not is_too_large:
            return
        fleet.deaths["out of memory"] += 1
        await fleet.kill([place])
    else:
        fleet.deaths[f"exit {process.returncode}"] += 1
        await fleet.clear(place)
    fleet.start_again(place)
