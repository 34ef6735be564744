"""Rules that an app has put on its usage: what was used is charged and the work ends, whatever they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from asyncpg import PostgresError

from tests.support.sql import Claim, Connection, Sql

Rows = list[tuple[UUID | None, int, str, str | None]]
# Any: what a coroutine takes and gives meanwhile is nobody's business here.
Ending = Callable[[Sql, UUID, UUID], Coroutine[Any, Any, int]]

WANTS_AN_AGENT = "add constraint rule foreign key (agent_id) references public.agents (id)"
WANTS_AN_AGENT_OR_NONE = f"{WANTS_AN_AGENT} on delete set null"
REFUSES = [
    "add constraint rule check (operation_type not like 'agent%')",
    f"{WANTS_AN_AGENT_OR_NONE}, add constraint named check (agent_id is not null)",
]
TRIGGER = """
create function public.rule() returns trigger language plpgsql as $$
begin
  raise exception using errcode = '{state}', message = 'not in this app';
end
$$;
create trigger rule before insert on public.credit_usage for each row execute function public.rule()
"""
# What a trigger may raise: as it is by default, what stands for a status of PostgREST, a mistake in its text.
STATES = ["P0001", "PT402", "42703"]


@asynccontextmanager
async def ruled(connection: Connection, rule: str) -> AsyncIterator[None]:
    await connection.execute(f"alter table public.credit_usage {rule}")
    try:
        yield
    finally:
        await connection.execute(
            "alter table public.credit_usage drop constraint if exists rule, drop constraint if exists named"
        )


@asynccontextmanager
async def triggered(connection: Connection, state: str) -> AsyncIterator[None]:
    await connection.execute(TRIGGER.format(state=state))
    try:
        yield
    finally:
        await connection.execute("drop function public.rule() cascade")


async def settle(sql: Sql, user: UUID, agent: UUID) -> Claim:
    answer: Claim = await sql.call(
        "answers_settle", user_id=user, key="light:k", credits=3, agent_id=agent, usage={"modelCalls": 1}
    )
    return answer


async def answered(sql: Sql, user: UUID, agent: UUID) -> int:
    """What a light answer is charged, whose agent is deleted while it streams."""
    await sql.hold(user, 4, "light:k")
    await sql.connection.execute("delete from public.agents where id = $1", agent)
    return int((await settle(sql, user, agent))["charged"])


async def executed(sql: Sql, user: UUID, agent: UUID) -> int:
    """What a run is charged, whose agent is deleted while it is at work."""
    claim = await sql.running(user, hold=4, agent_id=agent)
    await sql.connection.execute("delete from public.agents where id = $1", agent)
    return int((await sql.finish(claim, charge=3))["run"]["credits_used"])


async def noted(sql: Sql) -> Rows:
    rows = await sql.connection.fetch(
        "select agent_id, credits_used::integer, operation_type, metadata ->> 'agent_id'"
        " from public.credit_usage"
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


BOTH = pytest.mark.parametrize(
    ("end", "operation"), [(answered, "agent_runtime"), (executed, "agent_execution")]
)


@BOTH
async def test_an_agent_that_is_gone_is_named_beside_what_it_has_cost(
    sql: Sql, end: Ending, operation: str
) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)

    async with ruled(sql.connection, WANTS_AN_AGENT_OR_NONE):
        charged = await end(sql, user, agent)

    assert charged == 3
    assert await noted(sql) == [(None, 3, operation, str(agent))]
    assert await sql.money(user) == (7, 0)


@BOTH
@pytest.mark.parametrize("rule", REFUSES)
async def test_what_a_constraint_refuses_is_charged_all_the_same(
    sql: Sql, end: Ending, operation: str, rule: str
) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)

    async with ruled(sql.connection, rule):
        charged = await end(sql, user, agent)

    assert charged == 3
    assert operation not in {row[2] for row in await noted(sql)}
    assert await sql.money(user) == (7, 0)


@BOTH
@pytest.mark.parametrize("state", STATES)
async def test_what_a_trigger_refuses_is_charged_all_the_same(
    sql: Sql, end: Ending, operation: str, state: str
) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)

    async with triggered(sql.connection, state):
        charged = await end(sql, user, agent)

    assert charged == 3
    assert operation not in {row[2] for row in await noted(sql)}
    assert await sql.money(user) == (7, 0)


# Serialization, deadlock, memory, a lock that is not there.
@pytest.mark.parametrize("state", ["40001", "40P01", "53200", "55P03"])
async def test_what_would_go_well_when_it_is_done_again_is_done_again(shared: Sql, state: str) -> None:
    """The whole settlement fails then, and the hold stays open for the next try."""
    await shared.wipe()
    user = await shared.user(balance=10)
    agent = await shared.agent(user)
    await shared.hold(user, 4, "light:k")

    async with triggered(shared.connection, state):
        with pytest.raises(PostgresError, match="not in this app"):
            await shared.connection.fetchval(
                "select public.switchyard_answers_settle($1, 'light:k', 3, $2, '{}')", user, agent
            )

    assert await shared.money(user) == (10, 4)
    assert (await settle(shared, user, agent))["charged"] == 3
    assert [row[:2] for row in await noted(shared)] == [(agent, 3)]


async def test_the_log_says_whose_answer_is_not_in_the_apps_usage(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)
    await sql.hold(user, 4, "light:k")
    said: list[str] = []
    connection = sql.connection
    listener = lambda _, message: said.append(f"{message.severity}: {message.message}")  # noqa: E731
    connection.add_log_listener(listener)

    try:
        async with ruled(connection, REFUSES[0]):
            await connection.fetchval(
                "select public.switchyard_answers_settle($1, 'light:k', 3, $2, '{}')", user, agent
            )
            await asyncio.sleep(0)
    finally:
        connection.remove_log_listener(listener)

    (warning,) = [each for each in said if each.startswith("WARNING")]
    assert f"user {user}" in warning
    assert "is not in credit_usage" in warning


async def test_an_answer_that_is_settled_again_is_noted_once_under_a_rule(sql: Sql) -> None:
    user = await sql.user(balance=10)
    agent = await sql.agent(user)
    await sql.hold(user, 4, "light:k")
    await sql.connection.execute("delete from public.agents where id = $1", agent)

    async with ruled(sql.connection, WANTS_AN_AGENT_OR_NONE):
        answers = await asyncio.gather(*(settle(sql, user, agent) for _ in range(8)))

    assert {each["charged"] for each in answers} == {3}
    assert len(await noted(sql)) == 1
    assert await sql.money(user) == (7, 0)
