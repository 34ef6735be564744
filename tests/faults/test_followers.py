"""Readers that are slow, behind or elsewhere: each event once, in order, and nobody waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from foundation.db import Database, PoolDatabase
from foundation.errors import Json
from heavy_agents.events import Follower, Hub
from heavy_agents.runs import Answer, Context, Message, Order
from tests.support.engine import Scripted, bench, make_agent
from tests.support.sql import connected


class Noting(PoolDatabase):
    """It notes which functions are called."""

    def __init__(self, url: str, *, size: int) -> None:
        super().__init__(url, size=size)
        self.called: list[str] = []

    # Any: as the port has it.
    async def call(self, function: str, /, **args: Json | UUID) -> Any:
        self.called.append(function)
        return await super().call(function, **args)


@asynccontextmanager
async def elsewhere(database: Database) -> AsyncIterator[Follower]:
    """Reading as in another process than the one that executes."""
    hub = Hub(database)
    await hub.start()
    try:
        yield Follower(database, hub)
    finally:
        await hub.stop()


async def test_a_slow_reader_elsewhere_sees_each_event_once(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        for number in range(40):
            await ctx.emit("note", number=number)
            await asyncio.sleep(0.05)
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched, elsewhere(benched.database) as follower:
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

    async with bench(database_url, Scripted(script)) as benched, elsewhere(benched.database) as follower:
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


async def test_nobody_looks_for_what_is_new_while_all_who_follow_are_in_the_log(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        for number in range(600):
            await ctx.emit("note", number=number)
        return Answer("end")

    database = Noting(database_url, size=2)
    await database.start()
    async with bench(database_url, Scripted(script)) as benched, elsewhere(database) as follower:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.events(run_id)
        batches = follower.follow(benched.user, run_id, after=0)
        seen = [event.seq for event in await anext(batches)]
        database.called.clear()
        await asyncio.sleep(1)  # four looks

        assert database.called == []
        async with asyncio.timeout(5):
            async for batch in batches:
                seen += [event.seq for event in batch]
        assert seen == list(range(1, 603))
    await database.stop()


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


async def test_a_run_made_just_now_is_followed_without_its_log(database_url: str) -> None:
    gate = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        await gate.wait()
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched, connected(database_url) as sql:
        await sql.execute("drop function public.switchyard_events_page")
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await asyncio.sleep(0)  # it begins
        batches = benched.runs.follow(benched.user, run_id, after=1, is_fresh=True)
        newest = asyncio.create_task(anext(batches))
        await asyncio.sleep(0)
        gate.set()

        async with asyncio.timeout(5):
            assert [event.type for event in await newest] == ["done"]
        await batches.aclose()


@pytest.mark.parametrize("has_ended", [False, True])
async def test_a_run_made_just_now_that_has_moved_on_is_followed_from_its_log(
    database_url: str, *, has_ended: bool
) -> None:
    gate = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        for number in range(3):
            await ctx.emit("note", number=number)
        await gate.wait()
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        if has_ended:
            gate.set()
        async with asyncio.timeout(10):
            while (await benched.runs.get(benched.user, run_id))["last_seq"] < (5 if has_ended else 4):
                await asyncio.sleep(0.02)

        batches = benched.runs.follow(benched.user, run_id, after=1, is_fresh=True)
        async with asyncio.timeout(5):
            seen = [event.seq for event in await anext(batches)]
            gate.set()
            seen += [event.seq async for batch in batches for event in batch]

        assert seen == [2, 3, 4, 5]


async def test_a_run_made_just_now_is_followed_wherever_it_is_executed(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        await ctx.emit("note")
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched, elsewhere(benched.database) as follower:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        async with asyncio.timeout(10):
            batches = [each async for each in follower.follow(benched.user, run_id, after=1, is_fresh=True)]

        assert [event.seq for batch in batches for event in batch] == [2, 3]


async def test_what_is_told_of_a_run_made_just_now_is_what_its_log_says(database_url: str) -> None:
    async def script(_ctx: Context) -> Answer:
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched:
        agent_id = await make_agent(database_url, benched.user)
        order = Order(benched.user, agent_id, (Message("user", "go"),), {}, idempotency_key="k")

        made, joined = await benched.runs.submit(order), await benched.runs.submit(order)

        logged = await benched.events(UUID(made.run["run_id"]))
        assert made.begun == logged[:1]
        assert joined.begun == []


async def test_a_crowd_that_reads_the_log_leaves_connections_to_others(database_url: str) -> None:
    async def script(_ctx: Context) -> Answer:
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.events(run_id)
        async with connected(database_url) as sql:
            transaction = sql.transaction()
            await transaction.start()
            # Every page waits from now on.
            await sql.execute("lock table switchyard.events in access exclusive mode")
            crowd = [asyncio.create_task(benched.events(run_id)) for _ in range(30)]
            await asyncio.sleep(0.2)

            asked = await asyncio.wait_for(benched.runs.credits(benched.user), 4)

            await transaction.rollback()
        read = await asyncio.gather(*crowd)

    assert asked["held"] == 0
    assert {len(each) for each in read} == {2}
