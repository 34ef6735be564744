"""What waits and what is stuck, as operators are told; and what is counted of a run that ends."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.sql import Claim, Sql

GRACE_S = 60.0
QUEUE_DEADLINE_S = 3600.0

ENDED = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, metadata, credits_owner, hold_credits, queue_deadline_at,
  started_at, ended_at, charged_credits
)
select gen_random_uuid(), $1, 'chat', 'succeeded', '{}', '[]', '{}', 'off', 0, now(), now(), now(), 0
from generate_series(1, 5000)
"""
# They came a moment ago.
WAITING = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, metadata, credits_owner, hold_credits, queue_deadline_at
)
select gen_random_uuid(), $1, 'chat', 'queued', '{}', '[]', '{}', 'off', 0, now() + interval '1 hour'
from generate_series(1, $2)
"""
ASK = "select public.switchyard_runs_backlog($1, $2)"
COUNTED_TO = 10_000


async def backlog(sql: Sql) -> Claim:
    found: Claim = await sql.call("runs_backlog", grace_s=GRACE_S, queue_deadline_s=QUEUE_DEADLINE_S)
    return found


async def age(sql: Sql, run_id: UUID | str, *, minutes: int) -> None:
    """As if all that was to happen to a run by the clock was to happen earlier."""
    await sql.connection.execute(
        "update switchyard.runs set queued_at = queued_at - $2 * interval '1 minute',"
        " queue_deadline_at = queue_deadline_at - $2 * interval '1 minute',"
        " lease_until = lease_until - $2 * interval '1 minute' where id = $1",
        UUID(str(run_id)),
        minutes,
    )


async def test_an_idle_database_has_no_backlog(sql: Sql) -> None:
    await sql.finish(await sql.running(await sql.user()))

    assert await backlog(sql) == {"queued": 0, "oldest_queued_ms": 0, "stuck": 0}


async def test_the_oldest_of_those_that_wait_says_how_long(sql: Sql) -> None:
    user = await sql.user()
    first, _ = await sql.queued(user), await sql.queued(user)
    await age(sql, first, minutes=10)

    found = await backlog(sql)

    assert found["queued"] == 2
    assert 600_000 <= found["oldest_queued_ms"] < 660_000


async def test_a_run_that_was_given_back_waits_since_then(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await age(sql, claim["run_id"], minutes=10)
    await sql.release(claim)

    assert (await backlog(sql))["oldest_queued_ms"] < 60_000


async def test_a_lease_that_ended_long_ago_is_stuck(sql: Sql) -> None:
    user = await sql.user()
    live, fresh, stuck = [await sql.running(user) for _ in range(3)]
    await sql.expire(fresh["run_id"])
    await age(sql, stuck["run_id"], minutes=12)

    found = await backlog(sql)
    await sql.reap()

    assert (found["stuck"], found["queued"]) == (1, 0)
    assert await backlog(sql) | {"oldest_queued_ms": 0} == {"queued": 2, "oldest_queued_ms": 0, "stuck": 0}
    assert (await sql.heartbeat(live))["lost"] == []


async def test_ended_runs_are_not_looked_at_however_many_there_are(sql: Sql) -> None:
    user = await sql.user()
    transaction = sql.connection.transaction()
    await transaction.start()
    try:
        await sql.connection.execute(ENDED, user)
        await sql.connection.execute("analyze switchyard.runs")
        plan = await _plan(sql)
    finally:
        await transaction.rollback()

    assert "Seq Scan" not in plan
    assert plan.count("runs_overdue_idx") == 1
    assert plan.count("runs_running_idx") == 1


async def test_a_queue_longer_than_is_counted_is_told_as_that_long_and_as_old_as_it_is(sql: Sql) -> None:
    user = await sql.user()
    oldest = await sql.queued(user)
    await age(sql, oldest, minutes=10)
    transaction = sql.connection.transaction()
    await transaction.start()
    try:
        await sql.connection.execute(WAITING, user, COUNTED_TO)
        found: Claim = await sql.connection.fetchval(ASK, GRACE_S, QUEUE_DEADLINE_S)
    finally:
        await transaction.rollback()

    assert found["queued"] == COUNTED_TO, "one more waits"
    assert 600_000 <= found["oldest_queued_ms"] < 660_000


async def test_a_run_with_a_deadline_of_its_own_hides_no_older_one(sql: Sql) -> None:
    user = await sql.user()
    oldest, _ = await sql.queued(user), await sql.queued(user, deadline_s=60)
    await age(sql, oldest, minutes=10)

    assert (await backlog(sql))["oldest_queued_ms"] >= 600_000


async def _plan(sql: Sql) -> str:
    """How the function's own text is executed."""
    text = await sql.connection.fetchval(
        "select prosrc from pg_proc where proname = 'switchyard_runs_backlog'"
    )
    for name, value in (("p_grace_s", GRACE_S), ("p_queue_deadline_s", QUEUE_DEADLINE_S)):
        text = text.replace(name, str(value))
    return "\n".join(row[0] for row in await sql.connection.fetch(f"explain {text}"))


async def test_whoever_ends_a_run_is_told_what_is_counted_of_it(sql: Sql) -> None:
    user = await sql.user(balance=20)
    done, asked = await sql.running(user, hold=4), await sql.running(user)
    waiting = await sql.queued(user, hold=3)
    await sql.cancel(user, asked["run_id"])

    finished = (await sql.finish(done, charge=3))["end"]
    cancelled = (await sql.cancel(user, waiting))["end"]
    stopped = (await sql.finish(asked, "cancelled", charge=0))["end"]

    assert finished["lasted_ms"] >= 0
    assert finished | {"lasted_ms": 0} == _end("succeeded", None, hold=4, charged=3)
    assert cancelled | {"lasted_ms": 0, "cancel_ms": 0} == {
        **_end("cancelled", "cancelled", hold=3, charged=0),
        "cancel_ms": 0,
        "lost_calls": 0,
    }
    assert stopped["cancel_ms"] >= 0


async def test_only_what_a_call_ended_is_told_by_it(sql: Sql) -> None:
    user = await sql.user()
    running, waiting = await sql.running(user), await sql.queued(user)

    answers = [
        await sql.cancel(user, running["run_id"]),
        await sql.cancel(user, waiting),
        await sql.cancel(user, waiting),
    ]

    assert [answer["end"] is None for answer in answers] == [True, False, True]


@pytest.mark.parametrize("ending", ["poison", "cancelled", "deadline_exceeded", "requeued"])
async def test_the_reaper_tells_what_it_ended_and_what_was_lost_with_it(sql: Sql, ending: str) -> None:
    user = await sql.user()
    claim = await sql.running(user, deadline_s=0.001 if ending == "deadline_exceeded" else None)
    begin: dict[str, Any] = {"run_id": claim["run_id"], "token": claim["token"], "step": "turn-1"}
    await sql.call("calls_begin", **begin, id="call-1")
    await sql.call("calls_begin", **begin, id="call-2")
    if ending == "cancelled":
        await sql.cancel(user, claim["run_id"])
    if ending == "poison":
        await sql.connection.execute("update switchyard.runs set attempts = 3")
    await sql.expire(claim["run_id"])

    (row,) = await sql.call("runs_reap", limit=10, queue_deadline_s=QUEUE_DEADLINE_S)

    assert row["outcome"] == ending
    assert (row["end"] or {}).get("lost_calls") == (None if ending == "requeued" else 1)
    assert (row["end"] or {}).get("code") == (None if ending == "requeued" else ending)


async def test_a_call_lost_before_a_run_was_cancelled_while_it_waited_is_told(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.call("calls_begin", run_id=claim["run_id"], token=claim["token"], id="call-1", step="turn-1")
    await sql.expire(claim["run_id"])
    await sql.reap()

    assert (await sql.cancel(user, claim["run_id"]))["end"]["lost_calls"] == 1


def _end(status: str, code: str | None, *, hold: int, charged: int) -> Claim:
    return {
        "kind": "chat",
        "status": status,
        "code": code,
        "hold_credits": hold,
        "charged_credits": charged,
        "lasted_ms": 0,
        "cancel_ms": None,
    }
