"""Which runs still wait, as whoever tells of them once more is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.support.sql import Claim, Sql

MANY = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, metadata, credits_owner, hold_credits, queue_deadline_at,
  started_at, ended_at, charged_credits
)
select gen_random_uuid(), $1, 'chat', s.status, '{}', '[]', '{}', 'off', 0, now(),
  s.ended, s.ended, case when s.ended is null then null else 0 end
from generate_series(1, 4000), (values ('succeeded', now()), ('queued', null)) s (status, ended)
"""


# Any: as the function answers.
async def waiting(sql: Sql, *kinds: str, after_s: float = 1, limit: int = 10) -> list[Claim]:
    found: list[Claim] = await sql.call(
        "runs_waiting", kinds=list(kinds) or ["chat"], after_s=after_s, limit=limit
    )
    return found


async def age(sql: Sql, run_id: UUID, *, seconds: float) -> None:
    await sql.connection.execute(
        "update switchyard.runs set queued_at = queued_at - $2 * interval '1 second' where id = $1",
        run_id,
        seconds,
    )


async def test_nothing_waits_where_nothing_is_queued(sql: Sql) -> None:
    await sql.running(await sql.user())

    assert await waiting(sql, after_s=0) == []


async def test_those_that_wait_longest_come_first_and_say_how_long(sql: Sql) -> None:
    user = await sql.user()
    young, old, fresh = [await sql.queued(user) for _ in range(3)]
    await age(sql, young, seconds=20)
    await age(sql, old, seconds=40)

    found = await waiting(sql)

    assert [row["run_id"] for row in found] == [str(old), str(young)]
    assert [40_000 <= found[0]["waited_ms"] < 60_000, 20_000 <= found[1]["waited_ms"] < 40_000] == [True] * 2
    assert [set(row) for row in found] == [{"run_id", "kind", "epoch", "waited_ms"}] * 2
    assert str(fresh) in {row["run_id"] for row in await waiting(sql, after_s=0)}


async def test_no_more_are_told_than_are_asked_for(sql: Sql) -> None:
    user = await sql.user()
    runs = [await sql.queued(user) for _ in range(5)]

    assert [row["run_id"] for row in await waiting(sql, after_s=0, limit=3)] == [
        str(each) for each in runs[:3]
    ]


async def test_only_kinds_that_are_asked_for_are_told(sql: Sql) -> None:
    user = await sql.user()
    chat = await sql.queued(user)
    other = await sql.queued(user, agent={"name": "a", "kind": "forecast", "price": {"flat": 1}})

    assert [row["run_id"] for row in await waiting(sql, after_s=0)] == [str(chat)]
    assert [row["kind"] for row in await waiting(sql, "forecast", "none", after_s=0)] == ["forecast"]
    assert other != chat


async def test_a_run_that_came_back_says_how_often_it_was_claimed(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.release(claim)

    (found,) = await waiting(sql, after_s=0)

    assert (found["run_id"], found["epoch"]) == (claim["run_id"], 1)


async def test_the_queue_is_read_by_its_index_and_no_further_than_asked(sql: Sql) -> None:
    user = await sql.user()
    transaction = sql.connection.transaction()
    await transaction.start()
    try:
        await sql.connection.execute(MANY, user)
        await sql.connection.execute("analyze switchyard.runs")
        plan = await _plan(sql)
    finally:
        await transaction.rollback()

    assert "Index Scan using runs_waiting_idx" in plan
    # What is sorted is what the kinds have given, at most as many each as were asked for.
    assert plan.index("Sort") < plan.index("Limit", plan.index("Sort")) < plan.index("Index Scan")


async def _plan(sql: Sql) -> str:
    """How the function's own text is executed."""
    text: Any = await sql.connection.fetchval(
        "select prosrc from pg_proc where proname = 'switchyard_runs_waiting'"
    )
    for name, value in (("p_kinds", "'{chat}'::text[]"), ("p_after_s", "0"), ("p_limit", "100")):
        text = text.replace(name, value)
    return "\n".join(row[0] for row in await sql.connection.fetch(f"explain {text}"))
