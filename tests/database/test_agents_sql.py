"""How large an agent may be: no run, no conversation begins with one that would stall whoever reads it."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import asyncpg
import pytest

from foundation.errors import NotConfigured
from tests.support.sql import Sql

MOST_BYTES = 1_000_000
LARGE = {
    "knowledge_base": "jsonb_build_array(jsonb_build_object('content', repeat('x', $2)))",
    "system_prompt": "repeat('x', $2)",
    "description": "repeat('x', $2)",
    "config": "jsonb_build_object('output_schema', repeat('x', $2))",
    "tools": "jsonb_build_array(repeat('x', $2))",
}


@pytest.mark.parametrize("part", LARGE)
async def test_an_agent_that_is_too_large_is_refused_and_its_owner_told_what_to_shorten(
    sql: Sql, part: str
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await _enlarge(sql, agent, part, MOST_BYTES)

    calls = (
        partial(sql.call, "agents_get", user_id=user, agent_id=agent),
        partial(sql.call, "conversations_create", user_id=user, agent_id=agent, title=None),
        partial(sql.submit, user, agent_id=agent),
    )
    for call in calls:
        with pytest.raises(NotConfigured, match=f"larger than 1,000,000 bytes.* its {part}.* owner"):
            await call()

    assert await sql.ledger(user) == [("opening", 10, 0)]


async def test_many_parts_together_may_be_too_large(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    for part in LARGE:
        await _enlarge(sql, agent, part, MOST_BYTES // 5)
    await _enlarge(sql, agent, "tools", MOST_BYTES // 4)

    with pytest.raises(NotConfigured, match="its tools"):
        await sql.call("agents_get", user_id=user, agent_id=agent)


@pytest.mark.parametrize("part", LARGE)
async def test_an_agent_just_within_the_limit_runs(sql: Sql, part: str) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await _enlarge(sql, agent, part, MOST_BYTES - 200)

    row = await sql.call("agents_get", user_id=user, agent_id=agent)
    run = await sql.queued(user, agent_id=agent, agent=row)

    assert (await sql.row(run))["agent"] == row


async def test_numbers_that_are_short_as_text_are_not_too_large(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await sql.connection.execute(
        "update public.agents set knowledge_base ="
        " (select jsonb_agg((random() * 9)::integer) from generate_series(1, 300000))"
    )

    row = await sql.call("agents_get", user_id=user, agent_id=agent)

    assert len(row["knowledge_base"]) == 300_000


async def test_what_is_stored_large_is_refused_without_being_read(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    storage = "alter table public.agents alter column knowledge_base set storage"
    await sql.connection.execute(f"{storage} external")
    await _enlarge(sql, agent, "knowledge_base", 40 * MOST_BYTES)
    await sql.connection.execute(f"{storage} extended")

    async with sql.connection.transaction():
        before = await _blocks_read(sql)
        with pytest.raises(asyncpg.PostgresError, match="not_configured"):
            async with sql.connection.transaction():
                await sql.connection.execute("select public.switchyard_agents_get($1, $2)", user, agent)
        refused = await _blocks_read(sql)
        await sql.connection.execute("select knowledge_base::text from public.agents")
        read = await _blocks_read(sql)

    assert refused - before < 10
    assert read - refused > 1000


async def _blocks_read(sql: Sql) -> int:
    """Blocks of what large agents have beside their rows that this transaction has read."""
    blocks: int = await sql.connection.fetchval(
        "select pg_stat_get_xact_blocks_fetched(reltoastrelid) from pg_class"
        " where oid = 'public.agents'::regclass"
    )
    return blocks


async def _enlarge(sql: Sql, agent: UUID, part: str, size_bytes: int) -> None:
    await sql.connection.execute(
        f"update public.agents set {part} = {LARGE[part]} where id = $1",  # noqa: S608 - written above
        agent,
        size_bytes,
    )
