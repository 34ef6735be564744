"""What an adopted app does afterwards: its pages, its own functions, and runs of its agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from foundation.db import migrate
from tests.support.adopted import ADA, BOB, LIBRARIAN, OLD_CONVERSATION, app_before_us, guide_sql
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.postgrest import Answer, PostgRest, serving
from tests.support.sql import Sql, talking


@dataclass(frozen=True)
class App:
    """Adopted, with both doors of its database."""

    sql: Sql
    rest: PostgRest


@pytest.fixture(scope="module")
async def app(database_server: DatabaseServer) -> AsyncIterator[App]:
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        await migrate(url, folder=MIGRATIONS)
        async with serving(url) as rest, talking(url) as sql:
            yield App(sql, rest)
            assert await sql.audit() == []


async def test_no_user_sets_their_own_balance_any_more(app: App) -> None:
    status, answer = await app.rest.request(
        "PATCH",
        f"/credit_balances?user_id=eq.{BOB}",
        role="authenticated",
        user=BOB,
        body={"credits_remaining": 1000},
    )

    assert (status, answer["code"]) == (403, "42501")
    status, answer = await app.rest.request(
        "POST",
        "/rpc/deduct_credits_before",
        role="authenticated",
        user=BOB,
        body={"p_user_id": str(ADA), "p_credits": 1},
    )
    assert (status, answer["code"]) == (403, "42501")


async def test_pages_of_the_app_read_and_write_as_before(app: App) -> None:
    turn = {"conversation_id": str(OLD_CONVERSATION), "role": "user", "content": "And on Sundays?"}

    gallery = await app.rest.request("GET", "/gallery?select=name", role="anon")
    balance = await _as_ada(app, "GET", "/credit_balances?select=user_id,theme")
    keys = await _as_ada(app, "GET", "/api_keys")
    made = [
        await _as_ada(app, "POST", "/user_roles", {"user_id": str(BOB), "role": "moderator"}),
        await _as_ada(app, "POST", "/agents", {"user_id": str(ADA), "name": "New"}),
        await _as_ada(app, "POST", "/messages", turn),
    ]
    changed = await _as_ada(app, "PATCH", f"/agents?id=eq.{LIBRARIAN}", {"chats": 13})
    of_ada = await _as_ada(app, "GET", "/messages?select=content")
    of_bob = await app.rest.request("GET", "/messages?select=content", role="authenticated", user=BOB)

    assert gallery == (200, [{"name": "Librarian"}])
    assert balance == (200, [{"user_id": str(ADA), "theme": "light"}])
    assert (keys[0], len(keys[1])) == (200, 2)
    assert [status for status, _ in made] == [201] * 3
    assert changed[0] == 204
    assert turn["content"] in {each["content"] for each in of_ada[1]}
    assert of_bob == (200, [])


async def test_the_apps_own_role_function_is_kept_and_asked(app: App) -> None:
    stats = [
        await app.rest.call("get_admin_stats", {"p_user_id": str(user)}, role="service_role")
        for user in (ADA, BOB)
    ]
    asked = await app.rest.call("has_role", {"_user_id": str(ADA), "_role": "admin"}, role="service_role")

    assert [status for status, _ in stats] == [200, 403]
    assert asked == (200, True)


async def test_a_new_user_and_code_that_writes_balances_are_in_the_ledger(app: App) -> None:
    connection = app.sql.connection
    user = await connection.fetchval(
        "insert into auth.users (id, email) values (gen_random_uuid(), 'di@example.com') returning id"
    )
    await connection.execute("select public.deduct_credits_before($1, 60)", user)
    status, answer = await app.rest.call(
        "deduct_credits", {"p_user_id": str(user), "p_credits": 1}, role="service_role"
    )

    assert await app.sql.ledger(user) == [("opening", 50, 0), ("external", -60, 0)]
    assert (status, answer["message"]) == (402, "insufficient_credits")


async def test_an_adopted_agent_runs_and_its_run_is_in_the_apps_tables(app: App) -> None:
    sql = app.sql
    before = (await sql.money(ADA))[0]
    agent = await sql.call("agents_get", user_id=ADA, agent_id=LIBRARIAN)
    claim = await sql.running(
        ADA, hold=2, agent_id=LIBRARIAN, agent=agent, conversation_id=OLD_CONVERSATION, is_seen=True
    )

    await sql.finish(claim, charge=2, response="Closed on Sundays.")

    usage = await sql.connection.fetchrow(
        "select agent_id, credits_used, operation_type from public.credit_usage"
        " where metadata ->> 'run_id' = $1",
        claim["run_id"],
    )
    said = await sql.connection.fetchval(
        "select content from public.messages where role = 'assistant' and metadata ->> 'run_id' = $1",
        claim["run_id"],
    )
    assert await sql.money(ADA) == (before - 2, 0)
    assert usage is not None
    assert tuple(usage) == (LIBRARIAN, 2, "agent_execution")
    assert said == "Closed on Sundays."


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("references public.agents (id) on delete set null", 1),
        ("references public.agents (id) on delete set null, alter column agent_id set not null", 0),
    ],
)
async def test_a_rule_of_the_apps_usage_table_keeps_no_run_from_ending(
    app: App, rule: str, kept: int
) -> None:
    sql = app.sql
    agent = await sql.agent(ADA)
    claim = await sql.running(ADA, hold=2, agent_id=agent)
    await sql.connection.execute("delete from public.agents where id = $1", agent)
    constraint = "credit_usage_agent_id_fkey"
    await sql.connection.execute(f"alter table public.credit_usage drop constraint {constraint}")
    await sql.connection.execute("delete from public.credit_usage where agent_id is null")
    await sql.connection.execute(
        f"alter table public.credit_usage add constraint {constraint} foreign key (agent_id) {rule}"
    )

    ended = await sql.finish(claim, charge=2)

    await sql.connection.execute("alter table public.credit_usage alter column agent_id drop not null")
    noted = await sql.connection.fetchval(
        "select count(*) from public.credit_usage where metadata ->> 'agent_id' = $1", str(agent)
    )
    assert ended["finished"] is True
    assert noted == kept


async def _as_ada(app: App, method: str, path: str, body: object = None) -> Answer:
    return await app.rest.request(method, path, role="authenticated", user=ADA, body=body)
