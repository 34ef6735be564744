"""A run that has lost one worker after the other without a step in between: what may be begun beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from heavy_agents.runs import Answer, Context, execution
from tests.support.engine import Bench, Scripted, bench, make_agent


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not claim():
            await asyncio.sleep(0.01)


async def lose_twice(benched: Bench, agent: Scripted) -> UUID:
    """A run on its last attempt, which has begun."""
    run_id = await benched.submit(await make_agent(benched.url, benched.user))
    for claims in (1, 2):
        await until(lambda claims=claims: agent.calls == claims)  # type: ignore[misc]
        await benched.lose(run_id)
    await until(lambda: agent.calls == 3)
    return run_id


async def test_nothing_is_begun_beside_a_run_that_may_kill_its_process(database_url: str) -> None:
    go_on = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        async def work() -> None:
            await go_on.wait()

        await ctx.step("first", work)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    agent = Scripted(script)
    async with bench(database_url, agent) as benched:
        await lose_twice(benched, agent)

        assert not benched.engine.reserve()
        go_on.set()
        await until(benched.engine.reserve)
        benched.engine.unreserve()


async def test_others_do_not_wait_long_for_one_that_kills_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SUSPECT_S", 0.2)

    async def script(_ctx: Context) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    agent = Scripted(script)
    async with bench(database_url, agent) as benched:
        await lose_twice(benched, agent)

        await until(benched.engine.reserve)
        benched.engine.unreserve()
