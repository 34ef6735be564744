"""Plan limits: counted in SQL, in windows that fade, and only for what was allowed."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from foundation.errors import InsufficientCredits, KeyConflict, RateLimited
from tests.support.minutes import until_a_minute_lasts
from tests.support.sql import Sql


@pytest.fixture(autouse=True)
async def _still() -> None:
    await until_a_minute_lasts()


@pytest.mark.parametrize(
    ("plan", "per_minute", "per_hour"),
    [
        ("free", 5, 50),
        ("starter", 15, 200),
        ("pro", 30, 500),
        ("business", 60, 1000),
        ("businessplus", 120, 2500),
        ("enterprise", 300, 10000),
    ],
)
async def test_a_plan_allows_what_it_says(sql: Sql, plan: str, per_minute: int, per_hour: int) -> None:
    minute, hour = await sql.user(plan=plan), await sql.user(plan=plan)
    await _use(sql, minute, window_s=60, used=per_minute - 1)
    await _use(sql, hour, window_s=3600, used=per_hour - 1)

    await sql.call("limits_take", user_id=minute)
    await sql.call("limits_take", user_id=hour)
    with pytest.raises(RateLimited) as by_minute:
        await sql.call("limits_take", user_id=minute)
    with pytest.raises(RateLimited) as by_hour:
        await sql.call("limits_take", user_id=hour)

    assert by_minute.value.policy == f"{per_minute} runs in 60 s"
    assert by_hour.value.policy == f"{per_hour} runs in 3600 s"
    assert 1 <= by_minute.value.retry_after_s <= 60
    assert 1 <= by_hour.value.retry_after_s <= 3600


async def test_an_unknown_plan_and_a_user_without_an_account_count_as_free(sql: Sql) -> None:
    for user in (await sql.user(plan="platinum"), uuid4()):
        for _ in range(5):
            await sql.call("limits_take", user_id=user)
        with pytest.raises(RateLimited, match="5 runs in 60 s"):
            await sql.call("limits_take", user_id=user)


async def test_a_refused_call_counts_for_nothing(sql: Sql) -> None:
    user = await sql.user(plan="free")
    for _ in range(5):
        await sql.call("limits_take", user_id=user)

    for _ in range(3):
        with pytest.raises(RateLimited):
            await sql.call("limits_take", user_id=user)

    assert await _used(sql, user) == {60: 5, 3600: 5}


async def test_a_run_that_is_refused_for_another_reason_counts_for_nothing(sql: Sql) -> None:
    user = await sql.user(balance=1, plan="free")
    await sql.submit(user, key="k")

    with pytest.raises(InsufficientCredits):
        await sql.submit(user)
    with pytest.raises(KeyConflict):
        await sql.submit(user, key="k", body="another")

    assert await _used(sql, user) == {60: 1, 3600: 1}


async def test_a_joined_run_counts_once(sql: Sql) -> None:
    user = await sql.user(plan="free")

    for _ in range(10):
        await sql.submit(user, key="k")

    assert await _used(sql, user) == {60: 1, 3600: 1}


async def test_a_run_over_the_limit_is_refused_and_holds_nothing(sql: Sql) -> None:
    user = await sql.user(plan="free")
    await _use(sql, user, window_s=60, used=5)

    with pytest.raises(RateLimited):
        await sql.submit(user)

    assert await sql.money(user) == (10, 0)
    assert await sql.call("runs_list", user_id=user, before=None, limit=10) == []


async def test_calls_at_once_are_allowed_exactly_as_often_as_the_plan_says(sql: Sql) -> None:
    user = await sql.user(plan="pro")

    answers = await asyncio.gather(
        *(sql.call("limits_take", user_id=user) for _ in range(90)), return_exceptions=True
    )

    assert sum(isinstance(answer, RateLimited) for answer in answers) == 60
    assert (await _used(sql, user))[60] == 30


async def test_the_last_window_weighs_as_much_as_is_in_sight(sql: Sql) -> None:
    full, faded = await sql.user(plan="free"), await sql.user(plan="free")
    left = await _share_left(sql, window_s=3600)
    await _use(sql, full, window_s=3600, used=1, used_before=int(55 / left))
    await _use(sql, faded, window_s=3600, used=1, used_before=int(40 / left))

    with pytest.raises(RateLimited) as refused:
        await sql.call("limits_take", user_id=full)
    await sql.call("limits_take", user_id=faded)

    # One call of the last window fades out in 3600 s / its count.
    assert refused.value.retry_after_s <= 3600 / 50 + 1


async def test_the_window_before_the_last_one_is_forgotten(sql: Sql) -> None:
    user = await sql.user(plan="free")
    await _use(sql, user, window_s=60, used=5, windows_ago=2)

    for _ in range(5):
        await sql.call("limits_take", user_id=user)

    assert (await _used(sql, user))[60] == 5


async def test_the_last_windows_count_is_carried_over(sql: Sql) -> None:
    user = await sql.user(plan="enterprise")
    await _use(sql, user, window_s=3600, used=7, windows_ago=1)

    await sql.call("limits_take", user_id=user)

    counts = await sql.connection.fetchrow(
        "select used, used_before from switchyard.rate_windows where user_id = $1 and window_s = 3600", user
    )
    assert counts is not None
    assert tuple(counts) == (1, 7)


async def test_a_call_that_was_late_over_the_border_of_two_windows_does_not_reset_the_count(sql: Sql) -> None:
    user = await sql.user(plan="free")
    # It took its time before another call, which was faster, had moved the window on.
    await _use(sql, user, window_s=3600, used=50, windows_ago=-1)

    with pytest.raises(RateLimited):
        await sql.call("limits_take", user_id=user)


async def _use(
    sql: Sql, user: UUID, *, window_s: int, used: int, used_before: int = 0, windows_ago: int = 0
) -> None:
    await sql.connection.execute(
        """
        insert into switchyard.rate_windows (user_id, window_s, window_start, used, used_before)
        values (
          $1, $2,
          date_bin(make_interval(secs => $2::int), clock_timestamp(), timestamptz 'epoch')
            - make_interval(secs => $2::int * $5::int),
          $3, $4
        )
        """,
        user,
        window_s,
        used,
        used_before,
        windows_ago,
    )


async def _used(sql: Sql, user: UUID) -> dict[int, int]:
    rows = await sql.connection.fetch(
        "select window_s, used from switchyard.rate_windows where user_id = $1", user
    )
    return {row["window_s"]: row["used"] for row in rows}


async def _share_left(sql: Sql, *, window_s: int) -> float:
    """How much of the window is still to come, 1 to 0."""
    passed: float = await sql.connection.fetchval(
        "select mod(extract(epoch from clock_timestamp()), $1)::float8", window_s
    )
    return 1 - passed / window_s
