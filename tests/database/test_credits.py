"""Money: every function that moves it, every refusal, and what other code does to an account."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from foundation.errors import InsufficientCredits, InvalidRequest, KeyConflict
from tests.support.sql import Sql


async def test_an_account_opens_with_a_row_of_the_ledger(sql: Sql) -> None:
    user = await sql.user(balance=7, plan="pro")

    assert await sql.ledger(user) == [("opening", 7, 0)]
    assert await sql.credits(user) == {
        "balance": 7,
        "held": 0,
        "available": 7,
        "plan": "pro",
        "used_this_month": 0,
    }


async def test_a_user_without_an_account_reads_as_zeros_on_the_free_plan(sql: Sql) -> None:
    account = await sql.credits(uuid4())

    assert account == {"balance": 0, "held": 0, "available": 0, "plan": "free", "used_this_month": 0}


async def test_a_deduction_moves_balance_ledger_and_use(sql: Sql) -> None:
    user = await sql.user(balance=10)

    account = await sql.deduct(user, 4)

    assert (account["charged"], account["balance"], account["used_this_month"]) == (4, 6, 4)
    assert await sql.ledger(user) == [("opening", 10, 0), ("charge", -4, 0)]


async def test_a_deduction_with_a_key_takes_effect_once(sql: Sql) -> None:
    user = await sql.user(balance=10)

    first = await sql.deduct(user, 4, key="k")
    again = await sql.deduct(user, 4, key="k")

    assert first == again
    assert await sql.money(user) == (6, 0)


async def test_two_users_may_use_the_same_key(sql: Sql) -> None:
    one, other = await sql.user(), await sql.user()

    await sql.deduct(one, 4, key="k")
    await sql.deduct(other, 5, key="k")

    assert (await sql.money(one), await sql.money(other)) == ((6, 0), (5, 0))


@pytest.mark.parametrize("key", [None, ""])
async def test_deductions_without_a_key_add_up(sql: Sql, key: str | None) -> None:
    user = await sql.user(balance=10)

    await sql.deduct(user, 4, key=key)
    await sql.deduct(user, 4, key=key)

    assert await sql.money(user) == (2, 0)


async def test_a_key_used_for_another_amount_is_a_conflict(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.deduct(user, 4, key="k")
    await sql.hold(user, 2, "k")

    with pytest.raises(KeyConflict):
        await sql.deduct(user, 3, key="k")
    with pytest.raises(KeyConflict):
        await sql.hold(user, 3, "k")

    assert await sql.money(user) == (6, 2)


async def test_an_overdraft_says_what_is_needed_and_what_is_there(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")

    with pytest.raises(InsufficientCredits) as refused:
        await sql.deduct(user, 7)

    assert (refused.value.needed, refused.value.available) == (7, 6)
    assert await sql.money(user) == (10, 4)


async def test_nobody_deducts_from_an_account_that_is_not_there(sql: Sql) -> None:
    with pytest.raises(InsufficientCredits) as refused:
        await sql.deduct(uuid4(), 1)

    assert refused.value.available == 0


@pytest.mark.parametrize("amount", [0, -1])
async def test_less_than_one_credit_is_refused(sql: Sql, amount: int) -> None:
    user = await sql.user()

    with pytest.raises(InvalidRequest, match="at least 1"):
        await sql.deduct(user, amount)
    with pytest.raises(InvalidRequest, match="at least 1"):
        await sql.hold(user, amount, "k")

    assert await sql.money(user) == (10, 0)


async def test_a_hold_is_promised_once_and_settled_once(sql: Sql) -> None:
    user = await sql.user(balance=10)

    held = [await sql.hold(user, 4, "k") for _ in range(2)]
    settled = [await sql.settle(user, "k", 3) for _ in range(2)]
    released = await sql.unhold(user, "k")

    assert [account["held"] for account in held] == [4, 4]
    assert [account["charged"] for account in (*settled, released)] == [3, 3, 3]
    assert await sql.ledger(user) == [("opening", 10, 0), ("hold", 0, 4), ("settle", -3, -4)]


async def test_a_released_hold_charges_nothing_even_if_settled_later(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")

    released = [await sql.unhold(user, "k") for _ in range(2)]
    settled = await sql.settle(user, "k", 3)

    assert [account["charged"] for account in (*released, settled)] == [0, 0, 0]
    assert await sql.ledger(user) == [("opening", 10, 0), ("hold", 0, 4), ("release", 0, -4)]


async def test_a_closed_key_holds_nothing_again(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    await sql.unhold(user, "k")

    await sql.hold(user, 4, "k")

    assert await sql.money(user) == (10, 0)


async def test_a_settlement_without_a_hold_charges_nothing(sql: Sql) -> None:
    user = await sql.user(balance=10)

    assert (await sql.settle(user, "k", 3))["charged"] == 0
    assert await sql.money(user) == (10, 0)


@pytest.mark.parametrize(("asked", "charged"), [(99, 4), (4, 4), (0, 0), (-5, 0), (None, 0)])
async def test_a_settlement_is_bounded_by_its_hold(sql: Sql, asked: int | None, charged: int) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")

    account = await sql.settle(user, "k", asked)

    assert (account["charged"], account["balance"], account["held"]) == (charged, 10 - charged, 0)


async def test_a_hold_beyond_what_is_available_is_refused(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 7, "one")

    with pytest.raises(InsufficientCredits) as refused:
        await sql.hold(user, 4, "two")

    assert (refused.value.needed, refused.value.available) == (4, 3)


async def test_deductions_at_once_never_overdraw(sql: Sql) -> None:
    user = await sql.user(balance=100)

    answers = await asyncio.gather(*(sql.deduct(user, 1) for _ in range(256)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, InsufficientCredits)]
    assert (len(answers) - len(refused), len(refused)) == (100, 156)
    assert await sql.money(user) == (0, 0)


async def test_deductions_at_once_with_one_key_charge_once(sql: Sql) -> None:
    user = await sql.user(balance=100)

    answers = await asyncio.gather(*(sql.deduct(user, 1, key="k") for _ in range(100)))

    assert all(answer == answers[0] for answer in answers)
    assert await sql.money(user) == (99, 0)


async def test_a_hold_settled_and_released_at_once_is_closed_once(sql: Sql) -> None:
    user = await sql.user(balance=100)
    for number in range(20):
        await sql.hold(user, 2, f"k{number}")

    calls = [call for n in range(20) for call in (sql.settle(user, f"k{n}", 2), sql.unhold(user, f"k{n}"))]
    await asyncio.gather(*calls)

    closed = [kind for kind, _, _ in await sql.ledger(user) if kind in {"settle", "release"}]
    assert len(closed) == 20
    assert await sql.money(user) == (100 - 2 * closed.count("settle"), 0)


async def test_what_other_code_writes_is_recorded_as_external(sql: Sql) -> None:
    user = await sql.user(balance=10)

    await sql.write_balance(user, 25)
    await sql.write_balance(user, 5)

    assert await sql.ledger(user) == [("opening", 10, 0), ("external", 15, 0), ("external", -20, 0)]


async def test_an_external_write_in_the_same_transaction_as_ours_is_recorded(sql: Sql) -> None:
    user = await sql.user(balance=10)

    async with sql.connection.transaction():
        await sql.connection.fetchval("select public.deduct_credits($1, 4)", user)
        await sql.write_balance(user, 50)

    assert await sql.ledger(user) == [("opening", 10, 0), ("charge", -4, 0), ("external", 44, 0)]


async def test_a_cut_below_what_is_held_lets_holds_end_without_a_negative_balance(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 6, "one")
    await sql.hold(user, 4, "two")
    await sql.write_balance(user, 5)

    with pytest.raises(InsufficientCredits) as refused:
        await sql.hold(user, 1, "three")
    one, two = await sql.settle(user, "one", 3), await sql.settle(user, "two", 4)

    assert refused.value.available == 0
    assert (one["charged"], two["charged"]) == (3, 2)
    assert await sql.money(user) == (0, 0)


async def test_a_deleted_account_closes_and_a_new_one_opens(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")

    await sql.close_account(user)
    await sql.open_account(user, balance=3)

    assert await sql.ledger(user) == [
        ("opening", 10, 0),
        ("hold", 0, 4),
        ("closing", -10, -4),
        ("opening", 3, 0),
    ]


async def test_a_hold_of_a_closed_account_takes_nothing_from_the_next_one(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "old")
    await sql.close_account(user)
    await sql.open_account(user, balance=3)
    await sql.hold(user, 3, "fresh")

    ended = await sql.settle(user, "old", 4)

    assert ended["charged"] == 0
    assert await sql.money(user) == (3, 3)


async def test_use_counts_anew_each_month(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.deduct(user, 4)
    await sql.connection.execute(
        "update public.credit_balances set usage_month = (usage_month - interval '1 month')::date"
    )

    before = (await sql.credits(user))["used_this_month"]
    after = (await sql.deduct(user, 2))["used_this_month"]

    assert (before, after) == (0, 2)


async def test_use_counted_by_the_app_before_is_kept_this_month(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.connection.execute("update public.credit_balances set credits_used_this_month = 7")

    assert (await sql.deduct(user, 2))["used_this_month"] == 9
