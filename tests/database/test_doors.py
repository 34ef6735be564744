"""The same functions through the pool and through PostgREST: the same answers, the same refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.postgrest import RestDatabase, serving
from tests.support.sql import Sql, chunks, talking


@pytest.fixture(scope="module")
async def doors(database_server: DatabaseServer) -> AsyncIterator[dict[str, Sql]]:
    url = await fresh_database(database_server)
    async with talking(url) as sql, serving(url) as rest:
        yield {"pool": sql, "postgrest": Sql(RestDatabase(rest), sql.connection)}
    await drop(database_server, url)


@pytest.fixture(params=["pool", "postgrest"])
async def door(doors: dict[str, Sql], request: pytest.FixtureRequest) -> Sql:
    sql = doors[request.param]
    await sql.wipe()
    return sql


async def test_a_run_goes_its_way_by_either_door(door: Sql) -> None:
    user = await door.user(balance=10)
    queued = await door.submit(user, hold=5, key="k")
    run_id = queued["run"]["run_id"]

    (claim,) = await door.claim(kinds=["chat"])
    await door.append(claim, chunks(2, "a", "ß ☃", step="one"))
    beat = await door.heartbeat(claim)
    await door.save(claim, "one", {"n": 1.5}, accrued=2)
    await door.release(claim)
    (claim,) = await door.claim("w2")
    ended = await door.finish(claim, charge=3)
    joined = await door.submit(user, hold=5, key="k")
    page = await door.read(user, run_id, after=1)

    assert (beat["lost"], beat["cancel"]) == ([], [])
    assert claim["steps"] == [{"name": "one", "result": {"n": 1.5}, "blob": None, "is_here": True}]
    assert (ended["finished"], ended["run"]["credits_used"]) == (True, 3)
    assert (joined["joined"], joined["run"]) == (True, ended["run"])
    assert [each["data"].get("content") for each in page["events"]] == ["a", "ß ☃", None]
    assert await door.money(user) == (7, 0)
    assert await door.audit() == []


async def test_refusals_and_their_facts_are_the_same_by_either_door(door: Sql) -> None:
    user = await door.user(balance=2, plan="free")
    run_id = await door.queued(user, key="k")
    for _ in range(4):
        await door.call("limits_take", user_id=user)

    refusals: dict[type[HeavyError], HeavyError] = {}
    for attempt in (
        door.deduct(user, 5),
        door.deduct(user, 0),
        door.submit(user, key="k", body="another"),
        door.submit(user, agent_id=uuid4()),
        door.cancel(user, new_run_id()),
        door.read(user, run_id, after=9),
        door.call("limits_take", user_id=user),
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


async def test_an_agent_that_is_sent_along_needs_no_row_by_either_door(door: Sql) -> None:
    user, agent_id = await door.user(balance=10), uuid4()
    agent: dict[str, Json] = {"name": "a", "kind": "chat", "price": {"flat": 1}}

    with pytest.raises(AgentNotFound):
        await door.submit(user, agent_id=agent_id, agent={**agent})
    sent = await door.submit(user, agent_id=agent_id, agent={**agent, "source": "caller"})

    assert sent["run"]["agent_id"] == str(agent_id)


async def test_a_price_is_read_by_either_door_whoever_owns_the_agent(door: Sql) -> None:
    agent = await door.agent(await door.user())

    assert await door.call("agents_price", agent_id=agent) == {"flat": 1}
    assert await door.call("agents_price", agent_id=uuid4()) is None


async def test_a_gap_is_told_by_either_door(door: Sql) -> None:
    user = await door.user(balance=10)
    claim = await door.running(user)
    await door.append(claim, chunks(2, "a", "b"))
    await door.thin_out(claim["run_id"], first=1, last=2)

    with pytest.raises(Gap) as refused:
        await door.read(user, claim["run_id"])

    assert (refused.value.oldest, refused.value.latest) == (3, 3)
