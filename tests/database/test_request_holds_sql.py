"""Holds of requests that are no runs: what holding again answers, and how one ends that nobody ends."""

from __future__ import annotations

import asyncio

import pytest

from foundation.errors import KeyConflict
from tests.support.sql import Sql

QUARTER_S = 15 * 60
FORGOTTEN = "hold of a request that nobody ended"
UNKNOWN = "open hold of a request that would never be released"


async def test_holding_again_says_that_the_key_was_held_before_and_what_became_of_it(sql: Sql) -> None:
    user = await sql.user(balance=10)

    first = await sql.hold(user, 4, "k")
    while_open = await sql.hold(user, 4, "k")
    await sql.settle(user, "k", 3)
    settled = await sql.hold(user, 4, "k")

    answers = [(each["is_new"], each["charged"]) for each in (first, while_open, settled)]
    assert answers == [(True, None), (False, None), (False, 3)]


async def test_a_released_key_is_known_by_its_charge_of_nothing(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    await sql.unhold(user, "k")

    again = await sql.hold(user, 4, "k")

    assert (again["is_new"], again["charged"], again["held"]) == (False, 0, 0)


@pytest.mark.parametrize("key", ["light:k", "light:2:k", "heavy:1:k"])
async def test_a_request_whose_price_changes_between_its_tries_is_held_for_once(sql: Sql, key: str) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, key)
    await sql.submit(user, key="k", hold=0)

    dearer = await sql.hold(user, 6, key)
    cheaper = await sql.hold(user, 2, key)
    settled = await sql.settle(user, key, 6)
    after = await sql.hold(user, 6, key)

    answers = [(each["is_new"], each["charged"], each["held"]) for each in (dearer, cheaper, after)]
    assert answers == [(False, None, 4), (False, None, 4), (False, 4, 0)]
    assert settled["charged"] == 4


async def test_what_paid_for_a_run_pays_for_no_other_once_its_key_is_not_known(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "heavy:1:k")
    await sql.submit(user, key="k", hold=0)
    await sql.settle(user, "heavy:1:k", 4)
    while_known = await sql.hold(user, 4, "heavy:1:k")
    await sql.connection.execute("delete from switchyard.request_keys where user_id = $1", user)

    again = await sql.hold(user, 4, "heavy:1:k")
    following = await sql.hold(user, 4, "heavy:2:k")

    answers = [(each["is_new"], each["charged"]) for each in (while_known, again, following)]
    assert answers == [(False, 4), (False, 0), (True, None)]


async def test_a_key_of_somebody_elses_choice_holds_what_it_held(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")

    with pytest.raises(KeyConflict, match="another number of credits"):
        await sql.hold(user, 6, "k")


async def test_of_calls_at_once_with_one_key_one_is_the_first(sql: Sql) -> None:
    user = await sql.user(balance=10)

    answers = await asyncio.gather(*(sql.hold(user, 4, "k") for _ in range(32)))

    assert sorted(each["is_new"] for each in answers) == [False] * 31 + [True]
    assert await sql.money(user) == (10, 4)


async def test_a_hold_that_nobody_ended_is_released_and_a_younger_one_stays(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "old")
    await sql.age_hold(user, "old", by_s=QUARTER_S + 1)
    await sql.hold(user, 3, "young")

    answer = await sql.expire_holds(after_s=QUARTER_S)

    assert answer == {"released": 1, "more": False}
    assert await sql.ledger(user) == [("opening", 10, 0), ("hold", 0, 4), ("hold", 0, 3), ("release", 0, -4)]


async def test_what_is_settled_after_it_was_released_for_its_age_charges_nothing(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    await sql.expire_holds(after_s=0)

    late = await sql.settle(user, "k", 4)
    again = await sql.hold(user, 4, "k")

    assert (late["charged"], again["is_new"], again["charged"]) == (0, False, 0)
    assert await sql.money(user) == (10, 0)


async def test_what_was_ended_is_not_released_once_more(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "settled")
    await sql.settle(user, "settled", 4)
    await sql.hold(user, 2, "released")
    await sql.unhold(user, "released")

    assert (await sql.expire_holds(after_s=0))["released"] == 0
    assert await sql.money(user) == (6, 0)


async def test_the_hold_of_a_run_is_its_runs_business(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.running(user, hold=4)

    assert (await sql.expire_holds(after_s=0))["released"] == 0
    assert await sql.money(user) == (10, 4)


async def test_holds_are_released_a_batch_at_a_time_and_the_oldest_first(sql: Sql) -> None:
    user = await sql.user(balance=10)
    for number in range(3):
        await sql.hold(user, 1, f"k{number}")
        await sql.age_hold(user, f"k{number}", by_s=100 - number)

    first = await sql.expire_holds(after_s=0, limit=2)
    left = await sql.connection.fetchval("select array_agg(key) from switchyard.request_holds")
    second = await sql.expire_holds(after_s=0, limit=2)

    assert (first, left) == ({"released": 2, "more": True}, ["k2"])
    assert second == {"released": 1, "more": False}


async def test_a_hold_of_a_closed_account_is_released_without_touching_the_next_one(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    await sql.close_account(user)
    await sql.open_account(user, balance=3)

    await sql.expire_holds(after_s=0)

    assert await sql.money(user) == (3, 0)


async def test_releasing_for_age_and_settling_at_once_end_every_hold_once(sql: Sql) -> None:
    users = [await sql.user(balance=100) for _ in range(4)]
    for user in users:
        for number in range(8):
            await sql.hold(user, 2, f"k{number}")

    settles = [sql.settle(user, f"k{number}", 2) for user in users for number in range(0, 8, 2)]
    expiries = [sql.expire_holds(after_s=0, limit=3) for _ in settles]
    await asyncio.gather(*(call for pair in zip(settles, expiries, strict=True) for call in pair))
    while (await sql.expire_holds(after_s=0))["more"]:
        pass

    for user in users:
        closed = [kind for kind, _, _ in await sql.ledger(user) if kind in {"settle", "release"}]
        assert len(closed) == 8
        assert await sql.money(user) == (100 - 2 * closed.count("settle"), 0)


async def test_an_answer_is_noted_once_as_what_its_agent_was_used_for(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)
    await sql.hold(user, 4, "k")

    answers = await asyncio.gather(
        *(
            sql.call(
                "answers_settle", user_id=user, key="k", credits=3, agent_id=agent, usage={"modelCalls": 1}
            )
            for _ in range(8)
        )
    )

    noted = (await sql.call("agents_metrics", user_id=user, agent_id=agent))["recent_usage"]
    assert {each["charged"] for each in answers} == {3}
    assert [(each["credits_used"], each["operation_type"]) for each in noted] == [(3, "agent_runtime")]
    assert await sql.money(user) == (7, 0)


async def test_an_answer_that_was_released_is_noted_nowhere(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)
    await sql.hold(user, 4, "k")
    await sql.unhold(user, "k")

    await sql.call("answers_settle", user_id=user, key="k", credits=3, agent_id=agent, usage={})

    assert (await sql.call("agents_metrics", user_id=user, agent_id=agent))["total_calls"] == 0


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (
            "update switchyard.ledger set created_at = now() - interval '21 min' where kind = 'hold'",
            {FORGOTTEN},
        ),
        ("delete from switchyard.request_holds", {UNKNOWN}),
    ],
)
async def test_the_audit_names_a_hold_that_is_too_old_or_would_never_end(
    sql: Sql, damage: str, rules: set[str]
) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    transaction = sql.connection.transaction()
    await transaction.start()
    try:
        await sql.connection.execute(f"set local session_replication_role = replica; {damage}")
        broken = await sql.connection.fetchval("select public.switchyard_audit()")
    finally:
        await transaction.rollback()

    assert {each["rule"] for each in broken} == rules
