"""Readers that are slow, behind or elsewhere: each event once, in order, and nobody waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from heavy_agents.events import Follower, Hub
from heavy_agents.runs import Answer, Context
from tests.support.engine import Bench, Scripted, bench, make_agent


@asynccontextmanager
async def elsewhere(benched: Bench) -> AsyncIterator[Follower]:
    """Reading as in another process than the one that executes."""
    hub = Hub(benched.database)
    await hub.start()
    try:
        yield Follower(benched.database, hub)
    finally:
        await hub.stop()


async def test_a_slow_reader_elsewhere_sees_each_event_once(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        for number in range(40):
            await ctx.emit("note", number=number)
            await asyncio.sleep(0.05)
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched, elsewhere(benched) as follower:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        seen: list[int] = []
        async with asyncio.timeout(20):
            async for batch in follower.follow(benched.user, run_id, after=0):
                seen += [event.seq for event in batch]
                await asyncio.sleep(0.6)  # over two polls

        assert seen == list(range(1, 43))


async def test_a_reader_that_stopped_in_the_log_keeps_no_other_waiting(database_url: str) -> None:
    gate = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        for number in range(600):
            await ctx.emit("note", number=number)
        await gate.wait()
        await ctx.emit("note", number=-1)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with bench(database_url, Scripted(script)) as benched, elsewhere(benched) as follower:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        async with asyncio.timeout(10):
            while (await benched.runs.get(benched.user, run_id))["last_seq"] < 601:
                await asyncio.sleep(0.02)
        stopped = follower.follow(benched.user, run_id, after=0)
        await anext(stopped)
        live = follower.follow(benched.user, run_id, after=601)
        newest = asyncio.create_task(anext(live))
        await asyncio.sleep(0.1)
        gate.set()

        async with asyncio.timeout(5):
            assert [event.seq for event in await newest] == [602]
        await stopped.aclose()
        await live.aclose()


async def test_a_reader_that_fell_behind_while_it_wrote_goes_back_to_the_log(database_url: str) -> None:
    gate = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        await gate.wait()
        for number in range(700):
            await ctx.emit("note", number=number)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        batches = benched.runs.follow(benched.user, run_id, after=0)
        seen = [event.seq for event in await anext(batches)]
        gate.set()
        async with asyncio.timeout(10):
            while (await benched.runs.get(benched.user, run_id))["last_seq"] < 701:
                await asyncio.sleep(0.02)
            while len(seen) < 701:
                seen += [event.seq for event in await anext(batches)]

        assert seen == list(range(1, 702))
        await batches.aclose()
