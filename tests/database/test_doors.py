"""The same functions through the pool and through PostgREST: the same answers, the same refusals."""

from __future__ import annotations

from uuid import uuid4

import pytest

from foundation.errors import (
    AgentNotFound,
    BadCursor,
    Gap,
    HeavyError,
    InsufficientCredits,
    InvalidRequest,
    Json,
    KeyConflict,
    RateLimited,
    RunNotFound,
)
from foundation.ids import new_run_id
from tests.support.sql import Sql, chunks


async def test_a_run_goes_its_way(sql: Sql) -> None:
    user = await sql.user(balance=10)
    queued = await sql.submit(user, hold=5, key="k")
    run_id = queued["run"]["run_id"]

    (claim,) = await sql.claim(kinds=["chat"])
    await sql.append(claim, chunks(2, "a", "ß ☃", step="one"))
    beat = await sql.heartbeat(claim)
    await sql.save(claim, "one", {"n": 1.5}, accrued=2)
    await sql.release(claim)
    (claim,) = await sql.claim("w2")
    ended = await sql.finish(claim, charge=3)
    joined = await sql.submit(user, hold=5, key="k")
    page = await sql.read(user, run_id, after=1)

    assert (beat["lost"], beat["cancel"]) == ([], [])
    assert claim["steps"] == [{"name": "one", "result": {"n": 1.5}, "blob": None, "is_here": True}]
    assert (ended["finished"], ended["run"]["credits_used"]) == (True, 3)
    assert (joined["joined"], joined["run"]) == (True, ended["run"])
    assert [each["data"].get("content") for each in page["events"]] == ["a", "ß ☃", None]
    assert await sql.money(user) == (7, 0)


async def test_refusals_and_their_facts_are_the_same(sql: Sql) -> None:
    user = await sql.user(balance=2, plan="free")
    run_id = await sql.queued(user, key="k")
    for _ in range(4):
        await sql.call("limits_take", user_id=user)

    refusals: dict[type[HeavyError], HeavyError] = {}
    for attempt in (
        sql.deduct(user, 5),
        sql.deduct(user, 0),
        sql.submit(user, key="k", body="another"),
        sql.submit(user, agent_id=uuid4()),
        sql.cancel(user, new_run_id()),
        sql.read(user, run_id, after=9),
        sql.call("limits_take", user_id=user),
    ):
        with pytest.raises(HeavyError) as refused:
            await attempt
        refusals[refused.type] = refused.value

    assert refusals.keys() == {
        InsufficientCredits,
        InvalidRequest,
        KeyConflict,
        AgentNotFound,
        RunNotFound,
        BadCursor,
        RateLimited,
    }
    assert refusals[InsufficientCredits].facts() == {"needed": 5, "available": 1}
    assert refusals[RateLimited].facts()["policy"] == "5 runs in 60 s"
    assert refusals[BadCursor].detail == "after 9 is in the future; the newest event is 1"


async def test_an_agent_that_is_sent_along_needs_no_row(sql: Sql) -> None:
    user, agent_id = await sql.user(balance=10), uuid4()
    agent: dict[str, Json] = {"name": "a", "kind": "chat", "price": {"flat": 1}}

    with pytest.raises(AgentNotFound):
        await sql.submit(user, agent_id=agent_id, agent={**agent})
    sent = await sql.submit(user, agent_id=agent_id, agent={**agent, "source": "caller"})

    assert sent["run"]["agent_id"] == str(agent_id)


async def test_a_price_is_read_whoever_owns_the_agent(sql: Sql) -> None:
    agent = await sql.agent(await sql.user())

    assert await sql.call("agents_price", agent_id=agent) == {"flat": 1}
    assert await sql.call("agents_price", agent_id=uuid4()) is None


async def test_a_gap_is_told(door: Sql) -> None:
    user = await door.user(balance=10)
    claim = await door.running(user)
    await door.append(claim, chunks(2, "a", "b"))
    await door.thin_out(claim["run_id"], first=1, last=2)

    with pytest.raises(Gap) as refused:
        await door.read(user, claim["run_id"])

    assert (refused.value.oldest, refused.value.latest) == (3, 3)
