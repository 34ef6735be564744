"""What the engine does when an agent, its lease or its budget fails; every run ends, and rightly charged."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest

from foundation.errors import InsufficientCredits, KeyConflict, NotConfigured
from heavy_agents.runs import AgentFailed, Answer, Context, Usage
from heavy_agents.runs.lease import LEASE_S
from tests.support.engine import Bench, Scripted, bench, make_agent
from tests.support.tables import connected


async def outcome(benched: Bench, run_id: UUID) -> tuple[str, str | None, int]:
    """Status, code and charge of a run that has ended; the audit is clean."""
    await benched.events(run_id)
    run = await benched.runs.get(benched.user, run_id)
    assert await benched.database.call("switchyard_audit") == []
    return run["status"], run["code"], run["credits_used"]


async def answer(_ctx: Context) -> Answer:
    return Answer("yes", {"a": 1})


async def forever(ctx: Context) -> Answer:
    await ctx.chunk("begun")
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_an_answer_is_stored_and_charged(database_url: str) -> None:
    async with bench(database_url, Scripted(answer)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        events = await benched.events(run_id)

        assert [event.type for event in events] == ["started", "done"]
        assert events[-1].data["output"] == {"a": 1}
        assert await outcome(benched, run_id) == ("succeeded", None, 1)


async def test_a_journaled_step_is_not_run_again_when_its_worker_is_lost(database_url: str) -> None:
    done: list[str] = []
    held = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        async def first() -> str:
            done.append("first")
            return "one"

        async def second() -> str:
            await ctx.chunk(f"try {ctx.attempt}")
            done.append("second")
            if ctx.attempt == 1:
                held.set()
                await asyncio.Event().wait()
            return "two"

        return Answer(f"{await ctx.step('first', first)} {await ctx.step('second', second)}")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await held.wait()
        await benched.lose(run_id)

        events = await benched.events(run_id)

        assert done == ["first", "second", "second"]
        retry = next(event for event in events if event.type == "retry")
        first_try = next(event for event in events if event.data.get("content") == "try 1")
        assert retry.data == {"step": "second", "attempt": 2, "discardAfter": first_try.seq - 1}
        assert events[-1].data["response"] == "one two"
        assert await outcome(benched, run_id) == ("succeeded", None, 1)


async def test_a_process_that_was_frozen_begins_no_step_that_others_may_have_done(database_url: str) -> None:
    begun: list[int] = []

    async def script(ctx: Context) -> Answer:
        async def work() -> str:
            begun.append(ctx.attempt)
            return "done"

        if ctx.attempt == 1:
            # All of the process stands still, past what is left of its lease.
            time.sleep(LEASE_S)  # noqa: ASYNC251
        return Answer(str(await ctx.step("work", work)))

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        assert await outcome(benched, run_id) == ("succeeded", None, 1)
    assert begun == [2]


async def test_a_result_over_one_megabyte_survives_a_lost_worker(database_url: str) -> None:
    held = asyncio.Event()
    large = "x" * 2_000_000

    async def script(ctx: Context) -> Answer:
        async def work() -> str:
            return large

        found = await ctx.step("large", work)
        if ctx.attempt == 1:
            held.set()
            await asyncio.Event().wait()
        return Answer(str(found == large))

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await held.wait()
        await benched.lose(run_id)

        assert (await benched.events(run_id))[-1].data["response"] == "True"


async def test_a_run_that_loses_its_worker_three_times_without_a_step_is_poison_and_free(
    database_url: str,
) -> None:
    agent = Scripted(forever)
    async with bench(database_url, agent) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.lose_three_times(run_id, agent)

        assert await outcome(benched, run_id) == ("failed", "poison", 0)


async def test_an_agent_that_gives_up_fails_with_its_own_words(database_url: str) -> None:
    async def script(_ctx: Context) -> Answer:
        raise AgentFailed("the page has no table")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        assert (await benched.events(run_id))[-1].data["error"] == "the page has no table"
        assert await outcome(benched, run_id) == ("failed", "agent_error", 0)


async def test_an_agent_that_fails_after_a_call_is_charged_for_it_and_its_trace_stays_inside(
    database_url: str,
) -> None:
    async def script(ctx: Context) -> Answer:
        ctx.spend(Usage(tool_calls=1))
        raise ZeroDivisionError("an inner word")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        assert "an inner word" not in str((await benched.events(run_id))[-1].data)
        assert await outcome(benched, run_id) == ("failed", "agent_error", 1)


async def test_a_run_stops_at_the_next_step_once_its_hold_is_used_up(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        async def work() -> None:
            ctx.spend(Usage(model_calls=1, output_tokens=1000))

        for number in range(10):
            await ctx.chunk(f"{number} ")
            await ctx.step(f"turn {number}", work)
        return Answer("never")

    async with bench(database_url, Scripted(script)) as benched:
        price = '{"flat": 1, "per_1k_tokens": 2, "ceiling": 6}'
        run_id = await benched.submit(await make_agent(database_url, benched.user, price=price))

        assert await outcome(benched, run_id) == ("failed", "credit_exhausted", 6)


async def test_a_run_past_its_deadline_fails_and_is_free(database_url: str) -> None:
    async with bench(database_url, Scripted(forever)) as benched:
        agent_id = await make_agent(database_url, benched.user, config='{"deadline_s": 0.3}')
        run_id = await benched.submit(agent_id)

        assert await outcome(benched, run_id) == ("failed", "deadline_exceeded", 0)


async def test_an_event_that_is_too_large_fails_its_own_run_only(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        await ctx.emit("note", text="x" * 70_000)
        return Answer("never")

    async with bench(database_url, Scripted(script), Scripted(answer, kind="other")) as benched:
        large = await benched.submit(await make_agent(database_url, benched.user))
        other = await benched.submit(await make_agent(database_url, benched.user, kind="other"))

        assert await outcome(benched, large) == ("failed", "agent_error", 0)
        assert await outcome(benched, other) == ("succeeded", None, 1)


async def test_an_event_the_database_refuses_fails_its_own_run_only(database_url: str) -> None:
    gate = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        await gate.wait()
        await ctx.emit("Not A Type", text="refused by a check of the table")
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def good(ctx: Context) -> Answer:
        await gate.wait()
        await ctx.chunk("fine")
        return Answer("fine")

    async with bench(database_url, Scripted(script), Scripted(good, kind="good")) as benched:
        bad = await benched.submit(await make_agent(database_url, benched.user))
        fine = await benched.submit(await make_agent(database_url, benched.user, kind="good"))
        gate.set()

        assert await outcome(benched, fine) == ("succeeded", None, 1)
        assert await outcome(benched, bad) == ("failed", "internal_error", 0)


async def test_nul_and_lone_surrogates_are_replaced_not_refused(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        await ctx.chunk("a\x00b\ud800c")
        return Answer("a\x00b", {"k\x00": float("nan")})

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        chunk, done = (await benched.events(run_id))[1:]

        assert chunk.data["content"] == "a\ufffdb\ufffdc"
        assert done.data["output"] == {"k\ufffd": None}


async def test_a_cancelled_run_stops_its_agent_and_is_charged_only_for_calls_begun(database_url: str) -> None:
    async with bench(database_url, Scripted(forever)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await benched.runs.cancel(benched.user, run_id)

        assert await outcome(benched, run_id) == ("cancelled", "cancelled", 0)
        assert benched.engine.capacity.active == 0


async def test_draining_gives_runs_back_and_that_claim_is_no_attempt(database_url: str) -> None:
    async with bench(database_url, Scripted(forever)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        await benched.lifecycle.drain(within_s=5)

        assert (await benched.runs.get(benched.user, run_id))["status"] == "queued"
        assert await benched.database.call("switchyard_audit") == []


async def test_more_runs_than_slots_wait_and_all_end(database_url: str) -> None:
    async with bench(database_url, Scripted(answer), slots=2) as benched:
        agent_id = await make_agent(database_url, benched.user)
        run_ids = [await benched.submit(agent_id) for _ in range(20)]

        outcomes = [await outcome(benched, run_id) for run_id in run_ids]

        assert outcomes == [("succeeded", None, 1)] * 20


async def test_a_repeated_key_joins_its_run_though_the_agent_is_gone(database_url: str) -> None:
    async with bench(database_url, Scripted(answer)) as benched:
        agent_id = await make_agent(database_url, benched.user)
        run_id = await benched.submit(agent_id, key="once")
        await benched.events(run_id)
        async with connected(database_url) as connection:
            await connection.execute("delete from public.agents where id = $1", agent_id)

        assert await benched.submit(agent_id, key="once") == run_id
        with pytest.raises(KeyConflict):
            await benched.submit(agent_id, key="once", input_={"another": "body"})


async def test_an_unknown_kind_and_an_empty_account_are_refused_before_anything_is_stored(
    database_url: str,
) -> None:
    async with bench(database_url, Scripted(answer), credits_=0) as benched:
        with pytest.raises(NotConfigured):
            await benched.submit(await make_agent(database_url, benched.user, kind="unheard-of"))
        with pytest.raises(InsufficientCredits):
            await benched.submit(await make_agent(database_url, benched.user), key="k")

        assert await benched.runs.newest(benched.user, before=None, limit=10) == []


@pytest.mark.parametrize("after", range(6))
async def test_following_from_any_number_gives_the_same_tail(database_url: str, after: int) -> None:
    async def script(ctx: Context) -> Answer:
        for number in range(4):
            await ctx.emit("note", number=number)
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        whole = await benched.events(run_id)

        assert await benched.events(run_id, after=after) == whole[after:]


async def test_what_a_lost_step_had_bought_is_bought_again_at_the_platforms_cost(database_url: str) -> None:
    held = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        bought = asyncio.Event()

        async def finished() -> None:
            await bought.wait()

        async def cut() -> None:
            ctx.spend(Usage(model_calls=1, output_tokens=1000))
            bought.set()
            if ctx.attempt == 1:
                held.set()
                await asyncio.Event().wait()

        await asyncio.gather(ctx.step("finished", finished), ctx.step("cut", cut))
        return Answer("done")

    async with bench(database_url, Scripted(script)) as benched:
        price = '{"flat": 0, "per_1k_tokens": 10, "ceiling": 90}'
        run_id = await benched.submit(await make_agent(database_url, benched.user, price=price))
        await held.wait()
        await benched.lose(run_id)

        assert await outcome(benched, run_id) == ("succeeded", None, 10)


async def test_time_in_the_queue_is_not_charged(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        async def work() -> None:
            ctx.spend(Usage(tool_calls=1))

        await ctx.step("work", work)
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return Answer("done")

    async with bench(database_url, Scripted(script)) as first:
        price = '{"flat": 0, "per_minute": 60, "ceiling": 90}'
        run_id = await first.submit(await make_agent(database_url, first.user, price=price))
        async with asyncio.timeout(10):
            while (await first.runs.receipt(first.user, run_id))["steps"] == []:
                await asyncio.sleep(0.02)
        await first.lifecycle.drain(within_s=5)
    await asyncio.sleep(4)
    async with bench(database_url, Scripted(script)) as second:
        second.user = first.user

        _, _, charged = await outcome(second, run_id)

    assert charged < 4  # a credit a second; the seconds in which nobody executed it would be four


async def test_a_step_beside_a_failed_one_ends_with_its_run(database_url: str) -> None:
    ended = asyncio.Event()

    async def script(ctx: Context) -> Answer:
        async def fail() -> None:
            raise AgentFailed("no")

        async def go_on() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        await asyncio.gather(ctx.step("goes on", go_on), ctx.step("fails", fail))
        return Answer("never")

    async with bench(database_url, Scripted(script)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))

        assert (await outcome(benched, run_id))[1] == "agent_error"
        assert ended.is_set()


async def test_the_agent_of_a_second_run_is_not_asked_for_again(database_url: str) -> None:
    async def script(_ctx: Context) -> Answer:
        return Answer("end")

    async with bench(database_url, Scripted(script)) as benched, connected(database_url) as sql:
        agent_id = await make_agent(database_url, benched.user)
        await benched.submit(agent_id)
        await sql.execute("drop function public.switchyard_agents_get")

        run_id = await benched.submit(agent_id)

        assert (await benched.events(run_id))[-1].type == "done"


async def test_a_cancel_that_comes_before_the_claim_it_is_for_stops_the_run(database_url: str) -> None:
    async with bench(database_url, Scripted(forever), slots=1) as benched:
        agent_id = await make_agent(database_url, benched.user)
        first, second = await benched.submit(agent_id), await benched.submit(agent_id)

        benched.engine.cancel_here(second)
        await benched.runs.cancel(benched.user, first)

        assert await outcome(benched, second) == ("cancelled", "cancelled", 0)
