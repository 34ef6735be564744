"""Accepting a run: once a key, once a call, never beyond what is available."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from uuid import uuid4

import pytest

from foundation.errors import (
    AgentNotFound,
    InsufficientCredits,
    KeyConflict,
    RunNotFound,
)
from foundation.ids import new_run_id
from tests.support.sql import Sql


async def test_an_accepted_run_waits_with_its_hold_and_its_first_event(sql: Sql) -> None:
    user = await sql.user(balance=10)

    answer = await sql.submit(user, hold=3)

    run = answer["run"]
    assert (answer["joined"], answer["claim"], run["status"], run["hold_credits"]) == (
        False,
        None,
        "queued",
        3,
    )
    assert await sql.log(run["run_id"]) == [(1, "started")]
    assert await sql.money(user) == (10, 3)


@pytest.mark.parametrize(("owner", "hold"), [("backend", 0), ("caller", 3), ("off", 3)])
async def test_a_run_the_backend_does_not_charge_holds_nothing(sql: Sql, owner: str, hold: int) -> None:
    user = await sql.user(balance=0)

    claim = await sql.running(user, hold=hold, credits_owner=owner)
    ended = await sql.finish(claim, charge=2)

    assert ended["run"]["credits_used"] == 0
    assert await sql.ledger(user) == [("opening", 0, 0)]


async def test_a_worker_with_a_free_slot_gets_the_run_at_once(sql: Sql) -> None:
    user, token = await sql.user(), uuid4()

    answer = await sql.submit(user, worker="w1", token=token)

    claim = answer["claim"]
    assert answer["run"]["status"] == "running"
    assert (claim["token"], claim["epoch"], claim["last_seq"]) == (str(token), 1, 1)
    assert (claim["steps"], claim["unfinished"], claim["deadline_in_ms"]) == ([], {}, None)


async def test_a_first_claim_says_as_much_as_a_later_one(sql: Sql) -> None:
    first = await sql.running(await sql.user())
    await sql.expire(first["run_id"])
    await sql.reap()

    [second] = await sql.claim("w2")

    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first.keys() == second.keys()


async def test_a_fresh_run_does_not_slip_past_those_that_wait(sql: Sql) -> None:
    user = await sql.user()
    await sql.queued(user)

    same_kind = await sql.submit(user, worker="w1")
    other_kind = await sql.submit(user, worker="w1", agent={"kind": "forecast"})

    assert (same_kind["claim"], same_kind["run"]["status"]) == (None, "queued")
    assert (other_kind["claim"], other_kind["run"]["status"]) == (None, "queued")


async def test_the_same_call_again_gets_the_same_answer(sql: Sql) -> None:
    user, run_id, token = await sql.user(), new_run_id(), uuid4()

    first = await sql.submit(user, run_id=run_id, worker="w1", token=token)
    again = await sql.submit(user, run_id=run_id, worker="w1", token=token)

    assert (again["joined"], again["run"]) == (False, first["run"])
    assert again["claim"]["token"] == str(token)
    assert await sql.money(user) == (10, 1)


@pytest.mark.parametrize("key", [None, "k"])
async def test_the_same_call_at_once_gets_the_same_answer(sql: Sql, key: str | None) -> None:
    user, run_id, token = await sql.user(), new_run_id(), uuid4()

    async with sql.connection.transaction():
        await sql.connection.execute("select from public.credit_balances where user_id = $1 for update", user)
        calls = [
            asyncio.create_task(sql.submit(user, run_id=run_id, key=key, worker="w1", token=token))
            for _ in range(3)
        ]
        await _all_wait(sql, len(calls))
    answers = await asyncio.gather(*calls)

    assert [(each["joined"], each["claim"]["token"]) for each in answers] == [(False, str(token))] * 3
    assert await sql.money(user) == (10, 1)


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
async def test_a_key_joins_the_run_it_has_made(sql: Sql, state: str) -> None:
    user = await sql.user()
    first = await sql.submit(user, key="k", worker=None if state == "queued" else "w1")
    if state == "ended":
        await sql.finish(first["claim"])

    again = await sql.submit(user, key="k", worker="w1")

    assert (again["joined"], again["claim"]) == (True, None)
    assert again["run"]["run_id"] == first["run"]["run_id"]
    assert len(await sql.call("runs_list", user_id=user, before=None, limit=10)) == 1


async def test_a_key_with_another_body_is_a_conflict(sql: Sql) -> None:
    user = await sql.user()
    await sql.submit(user, key="k", body="one")

    with pytest.raises(KeyConflict):
        await sql.submit(user, key="k", body="two")

    assert await sql.money(user) == (10, 1)


async def test_a_key_belongs_to_its_user(sql: Sql) -> None:
    one, other = await sql.user(), await sql.user()

    first, second = await sql.submit(one, key="k"), await sql.submit(other, key="k", body="two")

    assert not second["joined"]
    assert first["run"]["run_id"] != second["run"]["run_id"]


async def test_a_refused_run_leaves_its_key_free(sql: Sql) -> None:
    user = await sql.user(balance=0)
    with pytest.raises(InsufficientCredits):
        await sql.submit(user, key="k", body="one")
    await sql.write_balance(user, 1)

    answer = await sql.submit(user, key="k", body="two")

    assert not answer["joined"]


async def test_a_key_outlives_its_run_and_says_so(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, key="k")
    await sql.finish(claim)
    await sql.call("runs_purge", keep_days=0, limit=10)

    with pytest.raises(RunNotFound, match="no longer kept"):
        await sql.submit(user, key="k")


async def test_only_a_published_or_own_active_agent_runs(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    usable = [await sql.agent(user), await sql.agent(other, is_published=True)]
    hidden = [
        await sql.agent(other),
        await sql.agent(user, status="archived"),
        await sql.agent(other, is_published=True, status="archived"),
        uuid4(),
    ]

    for agent in usable:
        assert (await sql.submit(user, agent_id=agent))["run"]["agent_id"] == str(agent)
        assert (await sql.call("agents_get", user_id=user, agent_id=agent))["id"] == str(agent)
    for agent in hidden:
        with pytest.raises(AgentNotFound):
            await sql.submit(user, agent_id=agent)
        with pytest.raises(AgentNotFound):
            await sql.call("agents_get", user_id=user, agent_id=agent)

    listed = await sql.call("agents_list", user_id=user)
    assert [(row["id"], row["is_own"]) for row in listed] == [(str(usable[0]), True), (str(usable[1]), False)]
    assert await sql.money(user) == (10, 2)


async def test_a_run_keeps_its_agent_as_it_was(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    snapshot = await sql.call("agents_get", user_id=user, agent_id=agent)
    await sql.queued(user, agent_id=agent, agent=snapshot)

    await sql.connection.execute("delete from public.agents")
    (claim,) = await sql.claim()

    assert claim["agent"] == snapshot


async def test_a_large_input_is_kept_aside(sql: Sql) -> None:
    user = await sql.user()

    claim = await sql.running(user, input=None, input_base64=base64.b64encode(b'{"a": 1}').decode())

    found = await sql.call("blobs_read", run_id=claim["run_id"], purpose="input", name="input.json")
    assert claim["input"] is None
    assert found == {"media_type": "application/json", "base64": base64.b64encode(b'{"a": 1}').decode()}


async def test_submissions_at_once_on_credit_for_100_accept_exactly_100(sql: Sql) -> None:
    user = await sql.user(balance=100)

    answers = await asyncio.gather(*(sql.submit(user) for _ in range(256)), return_exceptions=True)

    assert Counter(map(type, answers)) == {dict: 100, InsufficientCredits: 156}
    assert await sql.money(user) == (100, 100)


async def test_submissions_at_once_with_one_key_make_one_run(sql: Sql) -> None:
    user = await sql.user()

    answers = await asyncio.gather(*(sql.submit(user, key="k") for _ in range(100)))

    assert len({answer["run"]["run_id"] for answer in answers}) == 1
    assert sum(not answer["joined"] for answer in answers) == 1
    assert await sql.money(user) == (10, 1)


async def _all_wait(sql: Sql, count: int) -> None:
    """Until so many calls wait for a lock."""
    waiting = "select count(*) from pg_locks where not granted"
    async with asyncio.timeout(10):
        while await sql.connection.fetchval(waiting) < count:
            await asyncio.sleep(0.005)


async def test_a_run_of_an_agent_that_is_as_it_was_seen_is_accepted(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent_id = await sql.agent(user)
    seen = await sql.call("agents_get", user_id=user, agent_id=agent_id)

    answer = await sql.submit(user, is_seen=True, agent_id=agent_id, agent=seen)

    assert answer["run"]["agent_id"] == str(agent_id)
    assert await sql.money(user) == (10, 1)


async def test_a_run_of_an_agent_that_has_changed_since_is_not_begun(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent_id = await sql.agent(user)
    seen = await sql.call("agents_get", user_id=user, agent_id=agent_id)
    await sql.connection.execute("update public.agents set name = 'b' where id = $1", agent_id)

    is_begun = bool(await sql.submit(user, is_seen=True, key="k", agent_id=agent_id, agent=seen))

    assert not is_begun
    assert await sql.money(user) == (10, 0)
    for table in ("runs", "events", "request_keys", "rate_windows"):
        assert await sql.connection.fetchval(f"select count(*) from switchyard.{table}") == 0  # noqa: S608


async def test_a_repeated_call_finds_its_run_though_the_agent_has_changed_since(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent_id, run_id, token = await sql.agent(user), new_run_id(), uuid4()
    seen = await sql.call("agents_get", user_id=user, agent_id=agent_id)

    async def submit() -> str:
        answer = await sql.submit(
            user, is_seen=True, run_id=run_id, token=token, worker="w1", agent_id=agent_id, agent=seen
        )
        return str(answer["claim"]["run_id"])

    first = await submit()
    await sql.connection.execute("delete from public.agents where id = $1", agent_id)

    assert await submit() == first
    assert await sql.money(user) == (10, 1)


async def test_a_seen_agent_that_is_not_shown_to_the_user_any_more_is_unknown(sql: Sql) -> None:
    owner, user = await sql.user(), await sql.user()
    agent_id = await sql.agent(owner)
    seen = await sql.call("agents_get", user_id=owner, agent_id=agent_id)

    with pytest.raises(AgentNotFound):
        await sql.submit(user, is_seen=True, agent_id=agent_id, agent=seen)
