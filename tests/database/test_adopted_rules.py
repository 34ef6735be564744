"""Rules of an adopted app for its own tables keep no run from ending, and no other from being reaped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from foundation.db import migrate
from tests.support.adopted import ADA, BOB, app_before_us, guide_sql
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.sql import Sql, talking

REFUSES: Final = """
create function public.refuses() returns trigger language plpgsql as $$
begin raise exception 'this month is closed'; end
$$;
"""
OF_ADAS_BALANCE: Final = (
    REFUSES + "create trigger refuses before update on public.credit_balances"
    f" for each row when (old.user_id = '{ADA}') execute function refuses()"
)
OF_USAGE: Final = {
    "a trigger": REFUSES
    + "create trigger refuses before insert on public.credit_usage for each row execute function refuses()",
    "a short text": "alter table public.credit_usage alter operation_type type varchar(13)",
    "a narrow number": "drop view public.leaders;"
    "alter table public.credit_usage alter credits_used type numeric(3, 2)",
}


@pytest.fixture
async def sql(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        await migrate(url, folder=MIGRATIONS)
        async with talking(url) as sql:
            await sql.write_balance(BOB, 10)
            yield sql
            assert await sql.audit() == []


@pytest.mark.parametrize("rule", OF_USAGE.values(), ids=OF_USAGE)
async def test_usage_that_the_app_refuses_ends_its_run_and_is_charged(sql: Sql, rule: str) -> None:
    before, _ = await sql.money(ADA)
    claim = await sql.running(ADA, hold=20)
    await sql.connection.execute(rule)

    ended = await sql.finish(claim, charge=20)

    assert ended["finished"] is True
    assert await sql.money(ADA) == (before - 20, 0)
    assert await _noted(sql, claim["run_id"]) == 0


async def test_usage_that_the_app_refuses_stops_no_reaping(sql: Sql) -> None:
    refused, other = await sql.running(ADA, hold=5), await sql.running(BOB)
    await sql.save(refused, "begun", accrued=2)
    await sql.cancel(ADA, refused["run_id"])
    await sql.connection.execute(OF_USAGE["a trigger"])
    for claim in (refused, other):
        await sql.expire(claim["run_id"])

    assert await sql.reap() == {refused["run_id"]: "cancelled", other["run_id"]: "requeued"}


async def test_usage_is_not_left_out_for_what_passes(sql: Sql) -> None:
    claim = await sql.running(ADA, hold=2)
    await sql.connection.execute(
        "create function public.waits() returns trigger language plpgsql as"
        " $$ begin raise sqlstate '40001' using message = 'try again'; end $$;"
        "create trigger waits before insert on public.credit_usage for each row execute function waits()"
    )

    with pytest.raises(Exception, match="try again"):
        await sql.finish(claim, charge=2)

    await sql.connection.execute("drop trigger waits on public.credit_usage")
    assert (await sql.finish(claim, charge=2))["finished"] is True
    assert await _noted(sql, claim["run_id"]) == 1


async def test_a_run_that_cannot_be_ended_stops_no_reaping_of_others(sql: Sql) -> None:
    refused, other = await sql.running(ADA, hold=5), await sql.running(BOB)
    await sql.cancel(ADA, refused["run_id"])
    await sql.connection.execute(OF_ADAS_BALANCE)
    for claim in (refused, other):
        await sql.expire(claim["run_id"])

    answer = await sql.call("runs_reap_due", limit=100, queue_deadline_s=3600)

    assert [row["run_id"] for row in answer["reaped"]] == [other["run_id"]]
    # Nobody is told to come back at once, again and again.
    assert answer["next_ms"] is None
    await sql.connection.execute("drop trigger refuses on public.credit_balances")
    assert await sql.reap() == {refused["run_id"]: "cancelled"}


async def test_a_batch_of_runs_that_cannot_be_ended_stops_no_reaping_of_those_behind_it(sql: Sql) -> None:
    refused = [await sql.running(ADA, hold=1) for _ in range(4)]
    other = await sql.running(BOB)
    for claim in refused:
        await sql.cancel(ADA, claim["run_id"])
    await sql.connection.execute(OF_ADAS_BALANCE)
    for claim in (*refused, other):
        await sql.expire(claim["run_id"])

    answer = await sql.call("runs_reap_due", limit=2, queue_deadline_s=3600)

    assert [row["run_id"] for row in answer["reaped"]] == [other["run_id"]]
    await sql.connection.execute("drop trigger refuses on public.credit_balances")
    assert set(await sql.reap()) == {claim["run_id"] for claim in refused}


@pytest.mark.parametrize("limit", [100, 5, 2, 1])
async def test_holds_that_cannot_be_released_stop_no_release_of_others(sql: Sql, limit: int) -> None:
    for number in range(4):
        await sql.hold(ADA, 1, f"k{number}")
    await sql.hold(BOB, 3, "k")
    await sql.connection.execute(OF_ADAS_BALANCE)

    answer = await sql.expire_holds(after_s=0, limit=limit)

    assert answer["released"] == 1
    assert await sql.money(BOB) == (10, 0)
    # Nobody is told to come back at once, again and again.
    assert await sql.expire_holds(after_s=0, limit=limit) == {"released": 0, "more": False}
    await sql.connection.execute("drop trigger refuses on public.credit_balances")
    assert (await sql.expire_holds(after_s=0))["released"] == 4


async def _noted(sql: Sql, run_id: str) -> int:
    count: int = await sql.connection.fetchval(
        "select count(*) from public.credit_usage where metadata ->> 'run_id' = $1", run_id
    )
    return count
