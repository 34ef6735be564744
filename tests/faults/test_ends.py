"""Every end of a run is counted once, by whoever ends it, and as what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from foundation.errors import InternalError, ModelUnavailable
from heavy_agents.runs import AgentFailed, Answer, Context, Usage
from tests.support.engine import Bench, Script, Scripted, bench, make_agent

KIND = "scripted"


async def answers(_ctx: Context) -> Answer:
    return Answer("yes")


async def waits(ctx: Context) -> Answer:
    await ctx.chunk("begun")
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def gives_up(_ctx: Context) -> Answer:
    raise AgentFailed("no table on the page")


async def breaks(_ctx: Context) -> Answer:
    raise KeyError("a mistake in the code")


async def finds_no_model(_ctx: Context) -> Answer:
    raise ModelUnavailable("the model does not answer")


def ends(benched: Bench) -> Mapping[str, float | None]:
    """What there is of each status, and how many failures are the platform's."""
    statuses = {
        status: benched.counted("heavy_agent_runs_total", kind=KIND, status=status)
        for status in ("succeeded", "failed", "cancelled")
    }
    return {
        **statuses,
        "timed": benched.counted("heavy_agent_run_seconds_count", kind=KIND),
        "platform": benched.counted("heavy_agent_platform_failures_total", kind=KIND),
    }


def one(status: str | None, *, is_platforms: bool = False) -> Mapping[str, float | None]:
    """What `ends` says after one run, or after none."""
    statuses = {each: float(each == status) for each in ("succeeded", "failed", "cancelled")}
    return {**statuses, "timed": float(status is not None) or None, "platform": float(is_platforms)}


async def meets_our_fault(_ctx: Context) -> Answer:
    raise InternalError("something went wrong on our side")


@pytest.mark.parametrize(("agent", "level"), [(meets_our_fault, "error"), (finds_no_model, "warning")])
async def test_a_failure_is_as_loud_in_the_log_as_it_is_our_fault(
    database_url: str, agent: Script, level: str
) -> None:
    async with bench(database_url, Scripted(agent)) as benched:
        with capture_logs() as lines:
            await benched.events(await benched.submit(await make_agent(database_url, benched.user)))

    (failed,) = (line for line in lines if line["event"] == "agent_failed")
    assert (failed["log_level"], "exc_info" in failed) == (level, level == "error")


async def test_before_the_first_end_there_are_zeros(database_url: str) -> None:
    async with bench(database_url, Scripted(answers)) as benched:
        assert ends(benched) == one(None)
        assert benched.counted("heavy_agent_recovered_total", reason="poison") == 0


@pytest.mark.parametrize(
    ("agent", "status", "code", "is_platforms"),
    [
        (answers, "succeeded", None, False),
        (gives_up, "failed", "agent_error", False),
        (breaks, "failed", "agent_error", True),
        (finds_no_model, "failed", "model_unavailable", True),
    ],
)
async def test_an_end_by_its_worker_is_counted_once(
    database_url: str, agent: Script, status: str, code: str | None, is_platforms: bool
) -> None:
    async with bench(database_url, Scripted(agent)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.events(run_id)
        await benched.runs.cancel(benched.user, run_id)

        assert ends(benched) == one(status, is_platforms=is_platforms)
        if code is not None:
            assert benched.counted("heavy_agent_failures_total", code=code) == 1


async def test_a_cancel_is_counted_once_by_whoever_ends_the_run(database_url: str) -> None:
    async with bench(database_url, Scripted(waits), slots=1) as benched:
        agent = await make_agent(database_url, benched.user)
        running, waiting = await benched.submit(agent), await benched.submit(agent)
        for _ in range(2):
            await benched.runs.cancel(benched.user, waiting)
        assert ends(benched) == one("cancelled")
        for _ in range(2):
            await benched.runs.cancel(benched.user, running)
        await benched.events(running)

        assert benched.counted("heavy_agent_runs_total", kind=KIND, status="cancelled") == 2
        assert benched.counted("heavy_agent_cancel_seconds_count") == 2
        assert benched.counted("heavy_agent_platform_failures_total", kind=KIND) == 0


async def test_a_poisonous_run_is_counted_by_the_reaper_as_the_platforms(database_url: str) -> None:
    agent = Scripted(waits)
    async with bench(database_url, agent) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.lose_three_times(run_id, agent)
        await benched.events(run_id)

        assert ends(benched) == one("failed", is_platforms=True)
        assert benched.counted("heavy_agent_failures_total", code="poison") == 1
        assert benched.counted("heavy_agent_recovered_total", reason="requeued") == 2
        assert benched.counted("heavy_agent_recovered_total", reason="poison") == 1
        assert benched.counted("heavy_agent_queue_seconds_count") == 1


async def test_what_is_not_charged_of_a_hold_is_counted_as_released(database_url: str) -> None:
    async def uses_some(ctx: Context) -> Answer:
        ctx.spend(Usage(model_calls=1, output_tokens=1000))
        return Answer("yes")

    price = '{"flat": 1, "per_1k_tokens": 2, "ceiling": 10}'
    async with bench(database_url, Scripted(uses_some)) as benched:
        await benched.events(await benched.submit(await make_agent(database_url, benched.user, price=price)))

        assert benched.counted("heavy_agent_credits_total", outcome="settled") == 3
        assert benched.counted("heavy_agent_credits_total", outcome="released") == 7


async def test_an_agent_that_executes_two_runs_is_one_active_agent(database_url: str) -> None:
    async with bench(database_url, Scripted(waits)) as benched:
        agent, other = [await make_agent(database_url, benched.user) for _ in range(2)]
        runs = [await benched.submit(each) for each in (agent, agent, other)]
        async with asyncio.timeout(10):
            while benched.engine.capacity.active < len(runs):
                await asyncio.sleep(0.01)

        assert benched.counted("active_agents_count") == 2
        assert benched.counted("heavy_agent_active_runs", kind=KIND) == 3
