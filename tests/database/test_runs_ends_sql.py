"""A run that ends without its worker: cancelled, reaped, or its user deleted."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import chain
from uuid import UUID, uuid4

import pytest

from foundation.errors import Json, RunNotFound
from tests.support.sql import Claim, Sql, chunks


async def test_a_waiting_run_is_cancelled_at_once_and_costs_nothing(sql: Sql) -> None:
    user = await sql.user()
    run_id = await sql.queued(user, hold=4)

    answer = await sql.cancel(user, run_id)

    run = answer["run"]
    assert (answer["already_ended"], run["status"], run["credits_used"]) == (False, "cancelled", 0)
    assert await sql.log(run_id) == [(1, "started"), (2, "cancelled")]
    assert await sql.money(user) == (10, 0)


async def test_a_run_given_back_and_then_cancelled_costs_what_it_had_used(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, hold=4)
    await sql.save(claim, "one", accrued=3)
    await sql.release(claim)

    answer = await sql.cancel(user, claim["run_id"])

    assert answer["run"]["credits_used"] == 3
    assert await sql.money(user) == (7, 0)


async def test_the_worker_of_a_running_run_is_asked_to_stop(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    answers = [await sql.cancel(user, claim["run_id"]) for _ in range(2)]
    beat = await sql.heartbeat(claim)
    ended = await sql.finish(claim, "cancelled", charge=1)

    assert [(each["already_ended"], each["run"]["status"]) for each in answers] == [(False, "running")] * 2
    assert (beat["cancel"], beat["lost"]) == ([claim["run_id"]], [])
    assert ended["run"]["status"] == "cancelled"


async def test_who_takes_a_run_over_learns_that_it_was_cancelled(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.cancel(user, claim["run_id"])
    await sql.release(claim)

    (again,) = await sql.claim("w2")

    assert again["cancel_requested"] is True


async def test_cancelling_an_ended_run_changes_nothing(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.finish(claim)
    before = await sql.row(claim["run_id"])

    answer = await sql.cancel(user, claim["run_id"])

    assert (answer["already_ended"], answer["run"]["status"]) == (True, "succeeded")
    assert await sql.row(claim["run_id"]) == before


async def test_somebody_elses_run_is_as_unknown_as_none(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    run_id = await sql.queued(user)

    for stranger, unknown in ((other, run_id), (user, uuid4())):
        with pytest.raises(RunNotFound, match="no such run, or it is not yours"):
            await sql.cancel(stranger, unknown)

    assert (await sql.row(run_id))["status"] == "queued"


async def test_only_what_lost_its_worker_is_reaped(sql: Sql) -> None:
    user = await sql.user()
    lost, _ = await sql.running(user), await sql.running(user)
    await sql.queued(user)
    await sql.expire(lost["run_id"])

    assert await sql.reap() == {lost["run_id"]: "requeued"}
    assert await sql.reap() == {}


async def test_a_requeued_run_goes_on_where_its_journal_ends(sql: Sql) -> None:
    user = await sql.user()
    lost = await sql.running(user, hold=3)
    await sql.append(lost, chunks(2, "a", step="one"))
    await sql.save(lost, "one", {"text": "a"}, accrued=1)
    await sql.append(lost, chunks(3, "b", "c", step="two"))
    await sql.expire(lost["run_id"])
    await sql.reap()

    (claim,) = await sql.claim("w2")

    assert (claim["epoch"], claim["last_seq"], claim["accrued_credits"]) == (2, 4, 1)
    assert claim["steps"] == [{"name": "one", "result": {"text": "a"}, "blob": None, "is_here": True}]
    assert claim["unfinished"] == {"two": 2}
    assert await sql.money(user) == (10, 3)


async def test_a_lost_run_that_was_to_be_cancelled_is_cancelled_for_what_it_had_used(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, hold=4)
    await sql.save(claim, "one", accrued=2)
    await sql.cancel(user, claim["run_id"])
    await sql.expire(claim["run_id"])

    assert await sql.reap() == {claim["run_id"]: "cancelled"}
    assert await sql.money(user) == (8, 0)


async def test_three_claims_in_a_row_without_a_step_are_poison(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, hold=4)

    outcomes = await _lose_again_and_again(sql, claim, journaling=False)

    run = await sql.call("runs_get", user_id=user, run_id=claim["run_id"])
    assert outcomes == ["requeued", "requeued", "poison"]
    assert (run["status"], run["code"], run["credits_used"]) == ("failed", "poison", 0)
    assert await sql.money(user) == (10, 0)


async def test_twenty_claims_are_poison_even_with_a_step_each(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    outcomes = await _lose_again_and_again(sql, claim, journaling=True)

    assert outcomes == ["requeued"] * 19 + ["poison"]


async def test_a_shutdown_is_no_attempt(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    for _ in range(30):
        await sql.release(claim)
        (claim,) = await sql.claim()
    await sql.expire(claim["run_id"])

    assert await sql.reap() == {claim["run_id"]: "requeued"}


@pytest.mark.parametrize(
    ("change", "is_claimed"),
    [
        ("queue_deadline_at = clock_timestamp() - interval '1 s'", False),
        ("deadline_at = clock_timestamp() - interval '1 s'", False),
        ("deadline_at = clock_timestamp() - interval '1 s'", True),
    ],
)
async def test_a_run_past_its_deadline_fails_and_costs_nothing(
    sql: Sql, change: str, is_claimed: bool
) -> None:
    user = await sql.user()
    run_id = str(await sql.queued(user))
    if is_claimed:
        await sql.claim()
        await sql.expire(run_id)
    await sql.connection.execute(f"update switchyard.runs set {change}")  # noqa: S608 - written above

    assert await sql.reap() == {run_id: "deadline_exceeded"}
    assert (await sql.row(run_id))["code"] == "deadline_exceeded"
    assert await sql.money(user) == (10, 0)


PASSED = "deadline_at = clock_timestamp() - interval '1 s'"
WAITED = "queue_deadline_at = clock_timestamp() - interval '2 s'"


@pytest.mark.parametrize(
    ("deadline_s", "state", "change", "charged"),
    [
        (2, "running", PASSED, 3),
        (2, "queued", PASSED, 3),
        (2, "queued", WAITED, 0),
        (2, "queued", f"{WAITED}, {PASSED}", 0),
        (2, "running", f"{WAITED}, {PASSED}", 3),
        ("the platform's", "running", PASSED, 0),
        ("the platform's", "queued", PASSED, 0),
        ("the platform's", "queued", WAITED, 0),
    ],
)
async def test_a_deadline_of_the_agents_own_costs_what_was_used_one_of_the_platform_nothing(
    sql: Sql, deadline_s: int | str, state: str, change: str, charged: int
) -> None:
    user = await sql.user()
    config: Json = {} if isinstance(deadline_s, str) else {"deadline_s": deadline_s}
    claim = await sql.running(user, hold=4, agent={"name": "a", "kind": "chat", "config": config})
    run_id = claim["run_id"]
    await sql.save(claim, "one", accrued=3)
    await (sql.release(claim) if state == "queued" else sql.expire(run_id))
    await sql.connection.execute(f"update switchyard.runs set {change}")  # noqa: S608 - written above

    assert await sql.reap() == {run_id: "deadline_exceeded"}
    run = await sql.call("runs_get", user_id=user, run_id=run_id)
    assert (run["status"], run["code"], run["credits_used"]) == ("failed", "deadline_exceeded", charged)
    assert await sql.money(user) == (10 - charged, 0)


async def test_a_run_that_never_began_costs_nothing_whoever_set_its_deadline(sql: Sql) -> None:
    user = await sql.user()
    agent: Json = {"name": "a", "kind": "chat", "config": {"deadline_s": 2}}
    run_id = str(await sql.queued(user, agent=agent, deadline_s=0))

    assert await sql.reap() == {run_id: "deadline_exceeded"}
    assert await sql.money(user) == (10, 0)


async def test_a_live_lease_is_left_to_watch_its_own_deadline(sql: Sql) -> None:
    user = await sql.user()
    await sql.running(user, deadline_s=0)

    assert await sql.reap() == {}


async def test_no_more_than_the_limit_is_reaped_at_a_time(sql: Sql) -> None:
    user = await sql.user()
    for _ in range(5):
        await sql.expire((await sql.running(user))["run_id"])

    assert [len(await sql.reap(limit=2)) for _ in range(4)] == [2, 2, 1, 0]


async def test_reapers_at_once_end_each_run_once_and_do_not_block_each_other(sql: Sql) -> None:
    users = [await sql.user(balance=100) for _ in range(12)]
    # Ids in another order for each user, so that every reaper meets the accounts in an order of its own.
    runs = [str(await sql.queued(user, run_id=uuid4())) for user in users for _ in range(20)]
    await sql.connection.execute("update switchyard.runs set queue_deadline_at = clock_timestamp()")

    reaped = await asyncio.gather(*(sql.reap(limit=60) for _ in range(8)))

    outcomes = Counter(chain.from_iterable(reaped))
    assert outcomes == dict.fromkeys(runs, 1)
    assert [await sql.money(user) for user in users] == [(100, 0)] * 12


async def test_deleting_a_user_cancels_what_waits_and_stops_what_runs(sql: Sql) -> None:
    user = await sql.user()
    waiting, claim = await sql.queued(user, hold=2), None
    (claim,) = await sql.claim()
    waiting = await sql.queued(user, hold=3)

    await _delete(sql, user)
    beat = await sql.heartbeat(claim)
    ended = await sql.finish(claim, "cancelled", charge=2)

    assert (await sql.row(waiting))["status"] == "cancelled"
    assert beat["cancel"] == [claim["run_id"]]
    assert (ended["run"]["status"], ended["run"]["credits_used"]) == ("cancelled", 0)
    assert sum(amount for _, amount, _ in await sql.ledger(user)) == 0


async def test_deleting_a_user_waits_for_a_finish_and_neither_fails(sql: Sql) -> None:
    user = await sql.user(balance=100)
    claims = [await sql.running(user) for _ in range(30)]

    await asyncio.gather(_delete(sql, user), *(sql.finish(claim) for claim in claims))

    assert {(await sql.row(claim["run_id"]))["status"] for claim in claims} == {"succeeded"}


async def _lose_again_and_again(sql: Sql, claim: Claim, *, journaling: bool) -> list[str]:
    run_id, outcomes = claim["run_id"], list[str]()
    while True:
        if journaling:
            await sql.save(claim, f"step {claim['epoch']}")
        await sql.expire(run_id)
        outcomes.append((await sql.reap())[run_id])
        if outcomes[-1] != "requeued":
            return outcomes
        (claim,) = await sql.claim()


async def _delete(sql: Sql, user: UUID) -> None:
    await sql.connection.execute("delete from auth.users where id = $1", user)
