"""Holds of requests: whoever holds, settles, releases or sweeps, one after another and all at once.

A key is charged at most once and for no more than it held, the balance is the sum of the ledger, and what is
open in the end is released by whoever sweeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from foundation.errors import InsufficientCredits
from tests.properties.holds import LifeOfHolds
from tests.properties.patched import patched
from tests.properties.talk import Talk, talk
from tests.support.sql import Claim, Sql

KEYS = ("light:a", "light:b", "heavy:1:a")
HELD = dict(zip(KEYS, (2, 3, 4), strict=True))


@dataclass(frozen=True)
class Call:
    what: str
    key: str
    amount: int


AT_ONCE = 8

# The same examples every time, none shrunk: what counts is that one is found.
HUNT = settings(
    settings.get_profile("floor"),
    derandomize=True,
    max_examples=1_000,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)

# function, what guards it, what it would be without
GUARDS = {
    "a hold that was ended is not released for its age": (
        "switchyard.request_close",
        "delete from switchyard.request_holds where user_id = p_user_id and key = p_key;",
        "",
    ),
    "a hold is known to who sweeps": (
        "public.switchyard_credits_hold",
        "insert into switchyard.request_holds (user_id, key, held_at)"
        " values (p_user_id, p_key, clock_timestamp());",
        "",
    ),
}

CALLS = st.lists(
    st.builds(
        Call,
        st.sampled_from(["hold", "hold", "settle", "release", "expire"]),
        st.sampled_from(KEYS),
        st.integers(0, 6),
    ),
    max_size=24,
)


# Any: what a coroutine is sent and yields is the loop's business.
def made(sql: Sql, user: UUID, call: Call) -> Coroutine[Any, Any, Claim]:
    match call.what:
        case "hold":
            return sql.hold(user, HELD[call.key], call.key)
        case "settle":
            return sql.settle(user, call.key, call.amount)
        case "release":
            return sql.unhold(user, call.key)
        case _:
            return sql.expire_holds(after_s=0, limit=2)


@pytest.fixture(scope="module")
def crowd(module_database_url: str) -> Iterator[Talk]:
    with talk(module_database_url, size=AT_ONCE) as talking:
        yield talking


def test_the_accounts_are_right_whatever_happens(fresh: Talk) -> None:
    run_state_machine_as_test(_on(fresh), settings=settings(max_examples=20))


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_an_account_is_wrong(fresh: Talk, guard: str) -> None:
    function, code, without = GUARDS[guard]
    fresh.do(patched(fresh.sql.connection, function, code, without))

    with pytest.raises(AssertionError):
        run_state_machine_as_test(_on(fresh), settings=HUNT)


@settings(max_examples=60)
@given(CALLS, st.integers(0, 10))
def test_no_key_is_charged_twice_whoever_calls_at_once(crowd: Talk, calls: list[Call], balance: int) -> None:
    told, charges = crowd.do(_lived(crowd.sql, calls, balance))

    assert all(isinstance(each, dict | InsufficientCredits) for each in told), told
    for key, charged in charges:
        assert 0 < charged <= max((call.amount for call in calls if call.key == key), default=0)
        assert charged <= HELD[key]
    assert len({key for key, _ in charges}) == len(charges)


def _on(talk: Talk) -> type[LifeOfHolds]:
    class Life(LifeOfHolds):
        def __init__(self) -> None:
            super().__init__(talk)

    return Life


async def _lived(
    sql: Sql, calls: list[Call], balance: int
) -> tuple[list[Claim | BaseException], list[tuple[str, int]]]:
    """What the calls answered, and every charge; in the end nothing is held and the audit is content."""
    user = await sql.user(balance=balance)
    told = await asyncio.gather(*(made(sql, user, call) for call in calls), return_exceptions=True)
    while (await sql.expire_holds(after_s=0))["more"]:
        pass
    rows = await sql.connection.fetch(
        "select substring(hold_key from 'request:(.*):hold') as key, -amount as charged"
        " from switchyard.ledger where user_id = $1 and kind = 'settle'",
        user,
    )
    left = balance - sum(row["charged"] for row in rows)
    assert await sql.money(user) == (left, 0)
    assert await sql.audit() == []
    return told, [(row["key"], row["charged"]) for row in rows]
