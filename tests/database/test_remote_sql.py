"""Runs between backends, in the database: what was relayed, whose limit counts, and what a run keeps."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from foundation.errors import Json, RateLimited, RunNotFound
from tests.support.minutes import until_a_minute_lasts
from tests.support.sql import Claim, Sql


def marked(first: int, *numbers: int) -> list[Json]:
    """Chunks from `first` on, relayed under these numbers."""
    return [
        {"seq": seq, "type": "chunk", "data": {"content": str(number), "@relayed": number}}
        for seq, number in enumerate(numbers, first)
    ]


async def relayed(sql: Sql, claim: Claim, upto: int | None = None) -> Claim | None:
    found: Claim | None = await sql.call(
        "events_relayed", run_id=UUID(claim["run_id"]), token=UUID(claim["token"]), upto=upto
    )
    return found


async def test_the_last_one_relayed_is_found_by_its_number_there(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.append(claim, marked(2, 5, 9, 12))

    assert await relayed(sql, claim) == {"seq": 4, "relayed": 12}
    assert await relayed(sql, claim, 12) == {"seq": 4, "relayed": 12}
    assert await relayed(sql, claim, 11) == {"seq": 3, "relayed": 9}
    assert await relayed(sql, claim, 4) == {"seq": 1, "relayed": 0}


async def test_a_mark_that_is_no_number_is_none(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.append(claim, [{"seq": 2, "type": "chunk", "data": {"content": "a", "@relayed": "9"}}])

    assert await relayed(sql, claim) == {"seq": 1, "relayed": 0}


async def test_who_has_lost_the_lease_is_told_nothing(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    assert await relayed(sql, {**claim, "token": str(uuid4())}) is None
    await sql.finish(claim)
    assert await relayed(sql, claim) is None


async def test_a_run_keeps_the_backend_its_agent_names(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.connection.fetchval(
        "insert into public.agents (user_id, name, is_heavy, railway_url)"
        " values ($1, 'A', true, 'https://other.example') returning id",
        user,
    )

    kept = await sql.call("agents_get", user_id=user, agent_id=agent)

    assert (kept["railway_url"], kept["is_heavy"]) == ("https://other.example", True)


def sent(backend: UUID, runs_per_minute: int) -> dict[str, Json]:
    about: dict[str, Json] = {"issuer": "x", "id": str(backend), "runs_per_minute": runs_per_minute}
    return {"name": "A", "kind": "chat", "source": "backend", "backend": about}


async def test_a_run_that_another_backend_sends_is_counted_as_that_backends(sql: Sql) -> None:
    backend = uuid4()
    await until_a_minute_lasts()
    for _ in range(7):  # without an account a user has five a minute
        await sql.submit(uuid4(), agent=sent(backend, 7), agent_id=uuid4(), hold=0)

    with pytest.raises(RateLimited):
        await sql.submit(uuid4(), agent=sent(backend, 7), agent_id=uuid4(), hold=0)

    await sql.submit(uuid4(), agent=sent(uuid4(), 7), agent_id=uuid4(), hold=0)


async def test_a_key_opens_the_run_it_has_made_and_no_other_of_its_user(sql: Sql) -> None:
    user, other = uuid4(), uuid4()
    made = {
        (who, key): UUID((await sql.submit(who, key=key, hold=0))["run"]["run_id"])
        for who, key in ((user, "one"), (user, "two"), (other, "one"))
    }
    keyless = UUID((await sql.submit(user, hold=0))["run"]["run_id"])

    opened = {run for run in (*made.values(), keyless, uuid4()) if await is_opened(sql, user, run, key="one")}

    assert opened == {made[user, "one"]}


async def is_opened(sql: Sql, user: UUID, run_id: UUID, *, key: str) -> bool:
    try:
        await sql.call("runs_check_key", user_id=user, run_id=run_id, key=key)
    except RunNotFound:
        return False
    return True
