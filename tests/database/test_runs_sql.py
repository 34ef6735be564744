"""A run under way: submitted once, claimed by one worker at a time, kept alive, given back, finished."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from itertools import chain
from uuid import UUID, uuid4

import pytest

from foundation.errors import (
    AgentNotFound,
    InsufficientCredits,
    InternalError,
    KeyConflict,
    RunNotFound,
)
from foundation.ids import new_run_id
from tests.support.database import DatabaseServer
from tests.support.sql import LEASE_S, Sql, chunks, opened


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server, size=64) as sql:
        yield sql


@pytest.fixture
async def sql(shared: Sql) -> AsyncIterator[Sql]:
    await shared.wipe()
    yield shared
    assert await shared.audit() == []


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


async def test_a_fresh_run_does_not_slip_past_those_that_wait(sql: Sql) -> None:
    user = await sql.user()
    await sql.queued(user)

    same_kind = await sql.submit(user, worker="w1")
    other_kind = await sql.submit(user, worker="w1", agent={"kind": "forecast"})

    assert (same_kind["claim"], same_kind["run"]["status"]) == (None, "queued")
    assert other_kind["run"]["status"] == "running"


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


async def test_runs_are_claimed_oldest_first_and_by_kind(sql: Sql) -> None:
    user = await sql.user()
    runs = [str(await sql.queued(user)) for _ in range(3)]
    other = str(await sql.queued(user, agent={"kind": "forecast"}))

    first = await sql.claim(limit=2)
    rest = await sql.claim(limit=5, kinds=["forecast", "chat"])

    assert [claim["run_id"] for claim in first] == runs[:2]
    assert [claim["run_id"] for claim in rest] == [runs[2], other]
    assert await sql.claim() == []


async def test_workers_that_claim_at_once_never_share_a_run(sql: Sql) -> None:
    users = [await sql.user() for _ in range(4)]
    runs = [str(await sql.queued(user)) for user in users for _ in range(10)]

    claims = await asyncio.gather(*(sql.claim(f"w{n}", limit=8) for n in range(8)))

    assert sorted(claim["run_id"] for claim in chain.from_iterable(claims)) == sorted(runs)


async def test_while_others_wait_a_user_holds_half_of_a_workers_slots(sql: Sql) -> None:
    eager, late = await sql.user(), await sql.user()
    for _ in range(6):
        await sql.queued(eager)
    for _ in range(3):
        await sql.queued(late)

    claims = await sql.claim(limit=4, slots=4)

    assert [claim["user_id"] for claim in claims] == [str(eager)] * 2 + [str(late)] * 2


async def test_a_user_alone_may_use_every_slot(sql: Sql) -> None:
    eager = await sql.user()
    for _ in range(6):
        await sql.queued(eager)

    assert len(await sql.claim(limit=4, slots=4)) == 4


async def test_a_heartbeat_renews_its_own_leases_only(sql: Sql) -> None:
    user = await sql.user()
    mine, taken, others = (
        await sql.running(user),
        await sql.running(user),
        await sql.running(user, worker="w2"),
    )
    await sql.connection.execute("update switchyard.runs set lease_until = clock_timestamp() + '1 s'")

    answer = await sql.heartbeat(mine, taken | {"token": str(uuid4())}, others)

    renewed = await sql.connection.fetch(
        "select id from switchyard.runs where lease_until > clock_timestamp() + '30 s'"
    )
    assert sorted(answer["lost"]) == sorted([taken["run_id"], others["run_id"]])
    assert [str(row["id"]) for row in renewed] == [mine["run_id"]]
    assert answer["cancel"] == []


async def test_a_released_run_goes_back_to_its_place_and_counts_no_claim(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.queued(user)

    answers = [await sql.release(claim, chunks(2, "bye")), await sql.release(claim)]

    row = await sql.row(claim["run_id"])
    (again,) = await sql.claim("w2")
    assert answers == [True, False]
    assert (row["status"], row["claims"], row["attempts"], row["epoch"]) == ("queued", 0, 0, 1)
    assert (again["run_id"], again["epoch"], again["last_seq"]) == (claim["run_id"], 2, 2)
    assert again["token"] != claim["token"]


@pytest.mark.parametrize(
    ("status", "event"), [("succeeded", "done"), ("failed", "failed"), ("cancelled", "cancelled")]
)
async def test_a_finish_writes_the_end_the_money_and_the_last_events_at_once(
    sql: Sql, status: str, event: str
) -> None:
    user = await sql.user(balance=10)
    claim = await sql.running(user, hold=5)

    answer = await sql.finish(claim, status, charge=3, events=chunks(2, "a", "b"))

    run = answer["run"]
    assert (run["status"], run["credits_used"], run["last_seq"], run["response"]) == (status, 3, 4, "bye")
    assert (answer["event"]["seq"], answer["event"]["type"]) == (4, event)
    assert answer["event"]["data"]["creditsUsed"] == 3
    assert await sql.log(claim["run_id"]) == [(1, "started"), (2, "chunk"), (3, "chunk"), (4, event)]
    assert await sql.money(user) == (7, 0)


async def test_a_repeated_finish_answers_the_same_and_changes_nothing(sql: Sql) -> None:
    user = await sql.user(balance=10)
    claim = await sql.running(user, hold=5)
    first = await sql.finish(claim, charge=3, events=chunks(2, "a"))
    before = await sql.row(claim["run_id"])

    again = await sql.finish(claim, "failed", charge=5, events=chunks(2, "a"))

    assert again == first
    assert await sql.row(claim["run_id"]) == before
    assert await sql.money(user) == (7, 0)


@pytest.mark.parametrize(("charge", "charged"), [(99, 5), (None, 0), (-1, 0)])
async def test_a_charge_is_bounded_by_the_hold(sql: Sql, charge: int | None, charged: int) -> None:
    user = await sql.user(balance=10)
    claim = await sql.running(user, hold=5)

    answer = await sql.finish(claim, charge=charge)

    assert answer["run"]["credits_used"] == charged
    assert await sql.money(user) == (10 - charged, 0)


async def test_a_cut_of_the_balance_lets_running_runs_end(sql: Sql) -> None:
    user = await sql.user(balance=10)
    claim = await sql.running(user, hold=5)
    await sql.write_balance(user, 2)

    answer = await sql.finish(claim, charge=4)

    assert (answer["run"]["status"], answer["run"]["credits_used"]) == ("succeeded", 2)
    assert await sql.money(user) == (0, 0)


@pytest.mark.parametrize("lost_by", ["another claim", "release", "cancel", "poison"])
async def test_a_stale_token_writes_nothing_and_is_told(sql: Sql, lost_by: str) -> None:
    user = await sql.user()
    stale = await sql.running(user)
    await _lose(sql, user, stale, lost_by)
    before = (await sql.row(stale["run_id"]), await sql.log(stale["run_id"]), await sql.ledger(user))

    assert await sql.finish(stale, events=chunks(2, "late")) == {"finished": False}
    assert not await sql.release(stale, chunks(2, "late"))
    assert await sql.append(stale, chunks(2, "late")) == [stale["run_id"]]
    assert not await sql.save(stale, "late")
    assert (await sql.heartbeat(stale))["lost"] == [stale["run_id"]]

    after = (await sql.row(stale["run_id"]), await sql.log(stale["run_id"]), await sql.ledger(user))
    assert after == before


async def test_events_with_a_gap_stop_a_finish_and_a_release(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    with pytest.raises(InternalError):
        await sql.finish(claim, events=chunks(3, "gap"))
    with pytest.raises(InternalError):
        await sql.release(claim, chunks(3, "gap"))

    assert (await sql.row(claim["run_id"]))["status"] == "running"
    assert await sql.money(user) == (10, 1)


async def test_a_lease_lasts_as_long_as_asked_by_the_clock_of_the_database(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    left_s = await sql.connection.fetchval(
        "select extract(epoch from lease_until - clock_timestamp())::float8"
        " from switchyard.runs where id = $1",
        UUID(claim["run_id"]),
    )
    now_ms = (await sql.call("clock"))["now_ms"]
    database_ms = await sql.connection.fetchval("select extract(epoch from clock_timestamp())::float8 * 1000")

    assert 0 < left_s <= LEASE_S
    assert 0 <= database_ms - now_ms < 60_000


async def _lose(sql: Sql, user: UUID, claim: dict[str, str], lost_by: str) -> None:
    run_id = claim["run_id"]
    if lost_by == "another claim":
        await sql.expire(run_id)
        await sql.reap()
        await sql.claim("w2")
    elif lost_by == "release":
        await sql.release(claim)
    elif lost_by == "cancel":
        await sql.release(claim)
        await sql.cancel(user, run_id)
    else:
        await sql.connection.execute("update switchyard.runs set attempts = 3")
        await sql.expire(run_id)
        assert await sql.reap() == {run_id: "poison"}


async def _all_wait(sql: Sql, count: int) -> None:
    """Until so many calls wait for a lock."""
    waiting = "select count(*) from pg_locks where not granted"
    async with asyncio.timeout(10):
        while await sql.connection.fetchval(waiting) < count:
            await asyncio.sleep(0.005)
