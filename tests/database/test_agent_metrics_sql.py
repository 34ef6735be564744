"""What an agent has cost its callers: the sums, the newest calls, and what stays unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from foundation.errors import AgentNotFound
from tests.support.sql import Sql

RUN = "01a204b8-30f5-7518-88a6-b9cf00d00c07"


# Any: the answer of the SQL function.
async def metrics(sql: Sql, user: UUID, agent: UUID) -> dict[str, Any]:
    found: dict[str, Any] = await sql.call("agents_metrics", user_id=user, agent_id=agent)
    return found


async def use(
    sql: Sql, user: UUID, agent: UUID, *, credits_used: int = 1, metadata: object = None, ago_s: int = 0
) -> None:
    await sql.connection.execute(
        "insert into public.credit_usage"
        " (user_id, agent_id, credits_used, operation_type, metadata, created_at)"
        " values ($1, $2, $3, 'agent_runtime', $4, now() - make_interval(secs => $5))",
        user,
        agent,
        credits_used,
        {} if metadata is None else metadata,
        ago_s,
    )


async def test_a_run_is_one_call_with_its_price_and_its_end(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    for status, charge in (("succeeded", 3), ("failed", 2)):
        await sql.finish(await sql.running(user, agent_id=agent, hold=3), status, charge=charge)

    found = await metrics(sql, user, agent)

    assert (found["total_credits"], found["total_calls"]) == (5, 2)
    assert [(each["credits_used"], each["status"]) for each in found["recent_usage"]] == [
        (2, "failed"),
        (3, "succeeded"),
    ]


async def test_everybodys_calls_count_and_other_agents_do_not(sql: Sql) -> None:
    owner, other = await sql.user(), await sql.user()
    agent, another = await sql.agent(owner, is_published=True), await sql.agent(owner)
    for user, of, credits_used in ((owner, agent, 1), (other, agent, 2), (owner, another, 4)):
        await use(sql, user, of, credits_used=credits_used)

    found = await metrics(sql, owner, agent)

    assert (found["total_credits"], found["total_calls"]) == (3, 2)


async def test_the_number_of_somebody_elses_run_is_not_shown(sql: Sql) -> None:
    owner, other = await sql.user(), await sql.user()
    agent = await sql.agent(owner, is_published=True)
    for ago_s, user in enumerate((owner, other)):
        await use(sql, user, agent, metadata={"run_id": RUN, "user_id": str(other)}, ago_s=ago_s)

    own, foreign = (await metrics(sql, owner, agent))["recent_usage"]

    assert own["run_id"] == RUN
    assert set(foreign) == {"credits_used", "operation_type", "created_ms"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"run_id": "drop table", "status": "<b>"},
        {"run_id": 7, "status": "running"},
        {"run_id": {"a": 1}, "status": ["failed"]},
        {"run_id": None, "status": None},
        [RUN, "failed"],
        "failed",
        7,
    ],
    ids=str,
)
async def test_what_the_app_wrote_itself_is_shown_only_where_it_can_be_true(
    sql: Sql, metadata: Mapping[str, object] | list[str] | str | int
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await use(sql, user, agent, metadata=metadata)

    (found,) = (await metrics(sql, user, agent))["recent_usage"]

    assert set(found) == {"credits_used", "operation_type", "created_ms"}


async def test_the_newest_hundred_are_listed_and_all_are_counted(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    for number in range(103):
        await use(sql, user, agent, credits_used=number, ago_s=number)

    found = await metrics(sql, user, agent)

    assert [each["credits_used"] for each in found["recent_usage"]] == list(range(100))
    assert (found["total_credits"], found["total_calls"]) == (sum(range(103)), 103)


async def test_an_agent_without_calls_has_cost_nothing(sql: Sql) -> None:
    user = await sql.user()

    found = await metrics(sql, user, await sql.agent(user, status="paused"))

    assert found == {"total_credits": 0, "total_calls": 0, "recent_usage": []}


async def test_an_agent_that_is_unknown_foreign_or_deleted_is_refused_alike(sql: Sql) -> None:
    owner, other = await sql.user(), await sql.user()
    published = await sql.agent(owner, is_published=True)
    gone = await sql.agent(owner)
    await use(sql, owner, gone)
    await sql.connection.execute("delete from public.agents where id = $1", gone)
    marked = await sql.agent(owner, status="deleted")

    for user, agent in ((other, published), (owner, gone), (owner, marked), (owner, uuid4())):
        with pytest.raises(AgentNotFound, match="no such agent, or it is not yours"):
            await metrics(sql, user, agent)


async def test_the_newest_calls_are_found_by_an_index(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)

    async with sql.connection.transaction():
        await sql.connection.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
        plan = await sql.connection.fetch(
            "explain select * from public.credit_usage u where u.agent_id = $1"
            " order by u.created_at desc, u.id desc limit 100",
            agent,
        )

    lines = "\n".join(row[0] for row in plan)
    assert "credit_usage_agent_idx" in lines
    assert "Presorted Key: created_at" in lines
