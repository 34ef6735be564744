"""A process whose pool is stuck ends itself; one whose database is away stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from foundation.db import DatabaseWatchdog, PoolDatabase
from foundation.errors import DatabaseUnavailable
from foundation.telemetry.watchdog import EXIT_CODE
from tests.support.relay import Relay, relaying

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
SIZE = 2
PROGRAM = f"""
import asyncio, sys
from foundation.db import DatabaseWatchdog, PoolDatabase

async def main():
    db = PoolDatabase(sys.argv[1], size={SIZE})
    await db.start()
    lent = [await db._pool.acquire() for _ in range({SIZE})]
    await DatabaseWatchdog(db, every_s=0.1, looks=2).start()
    await asyncio.sleep({LIMIT_S})

asyncio.run(main())
"""


@asynccontextmanager
async def opened(url: str, *, command_timeout_s: float = 15) -> AsyncIterator[PoolDatabase]:
    db = PoolDatabase(url, size=SIZE, command_timeout_s=command_timeout_s)
    await db.start()
    try:
        yield db
    finally:
        await db.stop()


@asynccontextmanager
async def through_a_relay(url: str) -> AsyncIterator[tuple[Relay, str]]:
    place = urlsplit(url)
    assert place.port is not None
    async with relaying(place.port) as relay:
        yield relay, place._replace(netloc=f"{place.netloc.rpartition(':')[0]}:{relay.port}").geturl()


@asynccontextmanager
async def watching(db: PoolDatabase) -> AsyncIterator[asyncio.Event]:
    """What is set would be the end of the process."""
    ended = asyncio.Event()
    watchdog = DatabaseWatchdog(db, every_s=0.1, looks=3, end=ended.set)
    await watchdog.start()
    try:
        yield ended
    finally:
        await watchdog.stop()


async def test_a_pool_that_is_stuck_is_the_end_though_others_are_answered(database_url: str) -> None:
    async with opened(database_url) as db, AsyncExitStack() as stack:
        for _ in range(SIZE):
            await stack.enter_async_context(db._open_pool().acquire())
        async with watching(db) as ended, asyncio.timeout(LIMIT_S):
            await ended.wait()


async def test_a_database_that_is_away_is_waited_for(database_url: str) -> None:
    async with (
        through_a_relay(database_url) as (relay, url),
        opened(url) as db,
        watching(db) as ended,
    ):
        relay.cut()
        # Three looks are enough for an end; these are many more.
        await asyncio.sleep(1.5)
        await relay.restore()
        async with asyncio.timeout(LIMIT_S):
            await db.call("switchyard_clock")

        assert not ended.is_set()


async def test_a_pool_that_is_only_busy_goes_on(database_url: str) -> None:
    async with opened(database_url) as db, watching(db) as ended, AsyncExitStack() as stack:
        for _ in range(SIZE):
            await stack.enter_async_context(db._open_pool().acquire())
        for _ in range(15):
            await asyncio.sleep(0.1)
            # As a call of somebody else's that was answered meanwhile.
            db.answers += 1

        assert not ended.is_set()


async def test_a_connection_that_is_dead_is_replaced(database_url: str) -> None:
    async with (
        through_a_relay(database_url) as (relay, url),
        opened(url, command_timeout_s=0.3) as db,
        asyncio.timeout(LIMIT_S),
    ):
        await asyncio.gather(*(db.call("switchyard_clock") for _ in range(SIZE)))
        relay.forget()

        for _ in range(SIZE):
            with pytest.raises(DatabaseUnavailable):
                await db.call("switchyard_clock")
            # One of them may have been opened anew.
            if db.answers > SIZE:
                break

        assert (await db.call("switchyard_clock"))["now_ms"] > 0


async def test_a_process_that_is_stuck_says_so_and_ends(database_url: str) -> None:
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, database_url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert process.returncode == EXIT_CODE
    assert b"database_pool_stands_still" in process.stderr
