"""A run under way: claimed by one worker at a time, kept alive, given back, finished."""

from __future__ import annotations

import asyncio
from itertools import chain
from uuid import UUID, uuid4

import pytest

from foundation.errors import (
    InternalError,
)
from tests.support.sql import LEASE_S, Sql, chunks


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
    # Rounded to whole milliseconds, so up to half of one early.
    assert -1 < database_ms - now_ms < 60_000


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


async def test_a_row_somebody_else_has_locked_is_neither_renewed_nor_lost(sql: Sql) -> None:
    user = await sql.user()
    free, locked = await sql.running(user), await sql.running(user)

    async with sql.connection.transaction():
        await sql.connection.execute(
            "select from switchyard.runs where id = $1 for update", UUID(locked["run_id"])
        )
        answer = await sql.heartbeat(free, locked)

    assert (answer["renewed"], answer["lost"]) == ([free["run_id"]], [])
