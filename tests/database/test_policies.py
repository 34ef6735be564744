"""What each kind of caller can do through the real PostgREST: every table, every verb, every function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from uuid import UUID, uuid4

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.postgrest import Answer, PostgRest, serving
from tests.support.sql import Sql, talking
from tests.support.tables import Connection

Row = dict[str, object]

VERBS = ("select", "insert", "update", "delete")

# What a caller can do to a row of user A; everything else must leave no trace.
EVERYTHING = set(VERBS)
ALLOWED: dict[str, dict[str, set[str]]] = {
    "agents": {"owner": EVERYTHING, "service": EVERYTHING},
    "agent_functions": {"owner": EVERYTHING, "service": EVERYTHING},
    "conversations": {"owner": EVERYTHING, "service": EVERYTHING},
    "messages": {"owner": EVERYTHING, "service": EVERYTHING},
    "api_keys": {"owner": {"select"}, "service": EVERYTHING},
    "credit_balances": {"owner": {"select"}, "service": EVERYTHING},
    "credit_usage": {"owner": {"select"}, "service": EVERYTHING},
    "user_roles": {"owner": {"select"}, "service": EVERYTHING},
}
WHO = ("anon", "owner", "other", "service")

# A harmless change for each table.
CHANGES: dict[str, Row] = {
    "agents": {"description": "changed"},
    "agent_functions": {"name": "changed"},
    "conversations": {"title": "changed"},
    "messages": {"content": "changed"},
    "api_keys": {"key_name": "changed"},
    "credit_balances": {"plan_type": "changed"},
    "credit_usage": {"operation_type": "changed"},
    "user_roles": {"role": "admin"},
}

# What a row needs besides its id and its user, or what it hangs on instead of a user.
COLUMNS: dict[str, Row] = {
    "agents": {"name": "a"},
    "agent_functions": {"name": "f", "function_type": "webhook"},
    "conversations": {},
    "messages": {"role": "user", "content": "hi"},
    "api_keys": {"key_name": "k", "key_prefix": "sk"},
    "credit_balances": {"credits_remaining": 5},
    "credit_usage": {"credits_used": 1, "operation_type": "x"},
    "user_roles": {"role": "user"},
}
PARENTS = {"messages": ("conversation_id", "conversations"), "agent_functions": ("agent_id", "agents")}


@dataclass(frozen=True, slots=True)
class Site:
    """One database with both its doors."""

    rest: PostgRest
    sql: Sql


@pytest.fixture(scope="module")
async def site(database_server: DatabaseServer) -> AsyncIterator[Site]:
    url = await fresh_database(database_server)
    async with talking(url) as sql, serving(url) as rest:
        yield Site(rest, sql)
    await drop(database_server, url)


async def test_every_table_of_the_app_is_in_the_matrix(site: Site) -> None:
    rows = await site.sql.connection.fetch("select tablename from pg_tables where schemaname = 'public'")

    assert {row["tablename"] for row in rows} == ALLOWED.keys() == CHANGES.keys()


@pytest.mark.parametrize(("table", "who", "verb"), list(product(ALLOWED, WHO, VERBS)))
async def test_a_caller_reaches_a_users_rows_as_the_matrix_says(
    site: Site, table: str, who: str, verb: str
) -> None:
    owner, other = await site.sql.user(), await site.sql.user()
    row = await _row(site.sql.connection, table, owner)

    reached = await _try(site, table, row, verb=verb, who=who, user=other if who == "other" else owner)

    assert reached is (verb in ALLOWED[table].get(who, set()))


async def test_a_published_agent_shows_nobody_its_prompt(site: Site) -> None:
    owner, other = await site.sql.user(), await site.sql.user()
    agent = await site.sql.agent(owner, is_published=True)

    status, rows = await _as(site, "GET", f"/agents?id=eq.{agent}", user=other)

    assert (status, rows) == (200, [])


async def test_nobody_reads_the_hash_of_a_key(site: Site) -> None:
    owner = await site.sql.user()
    await _row(site.sql.connection, "api_keys", owner)

    for columns in ("key_hash", "*"):
        status, answer = await _as(site, "GET", f"/api_keys?select={columns}", user=owner)
        assert (status, answer["code"]) == (403, "42501")


@pytest.mark.parametrize(("table", "column"), [("agents", "user_id"), ("conversations", "user_id")])
async def test_a_user_cannot_give_a_row_to_somebody_else(site: Site, table: str, column: str) -> None:
    owner, other = await site.sql.user(), await site.sql.user()
    row = await _row(site.sql.connection, table, owner)

    status, answer = await _as(
        site, "PATCH", f"/{table}?id=eq.{row['id']}", user=owner, body={column: str(other)}
    )

    assert (status, answer["code"]) == (403, "42501")


@pytest.mark.parametrize(
    ("table", "column", "of"),
    [("messages", "conversation_id", "conversations"), ("agent_functions", "agent_id", "agents")],
)
async def test_a_user_cannot_write_into_what_belongs_to_somebody_else(
    site: Site, table: str, column: str, of: str
) -> None:
    owner, other = await site.sql.user(), await site.sql.user()
    foreign = await _row(site.sql.connection, of, other)
    mine = await _row(site.sql.connection, table, owner)

    for method, path, body in (
        ("POST", f"/{table}", mine | {"id": str(uuid4()), column: foreign["id"]}),
        ("PATCH", f"/{table}?id=eq.{mine['id']}", {column: foreign["id"]}),
    ):
        status, answer = await _as(site, method, path, user=owner, body=body)
        assert (status, answer["code"]) == (403, "42501")


async def test_a_user_cannot_set_the_price_of_an_agent(site: Site) -> None:
    owner = await site.sql.user()
    agent = await _row(site.sql.connection, "agents", owner)
    free = {"price": {"flat": 0}}

    made = await _as(site, "POST", "/agents", user=owner, body={"name": "b", "user_id": str(owner)} | free)
    changed = await _as(site, "PATCH", f"/agents?id=eq.{agent['id']}", user=owner, body=free)
    by_operator = await site.rest.request(
        "PATCH", f"/agents?id=eq.{agent['id']}", role="service_role", body=free
    )
    renamed = await _as(site, "PATCH", f"/agents?id=eq.{agent['id']}", user=owner, body={"name": "c"} | free)

    assert [(status, answer["code"]) for status, answer in (made, changed)] == [(403, "42501")] * 2
    assert (by_operator[0], renamed[0]) == (204, 204)


@pytest.mark.parametrize("who", WHO)
async def test_the_engines_own_tables_are_served_to_nobody(site: Site, who: str) -> None:
    role = {"anon": "anon", "service": "service_role"}.get(who, "authenticated")
    user = await site.sql.user()
    rows = await site.sql.connection.fetch("select tablename from pg_tables where schemaname = 'switchyard'")
    for table, method in product((row["tablename"] for row in rows), ("GET", "POST", "PATCH", "DELETE")):
        body: dict[str, object] | None = {} if method in {"POST", "PATCH"} else None
        status, _ = await site.rest.request(method, f"/{table}", role=role, user=user, body=body)
        assert status == 404, (table, method)
    status, answer = await site.rest.request("GET", "/", role="service_role")
    assert len(rows) > 8
    assert status == 200
    assert not {path.strip("/") for path in answer["paths"]} & {row["tablename"] for row in rows}


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_no_function_answers_a_user(site: Site, role: str) -> None:
    for function, arguments in await _functions(site.sql.connection):
        status, answer = await site.rest.call(function, arguments, role=role)
        refusal = (401 if role == "anon" else 403, "42501")
        assert (status, answer["code"]) == refusal, function


async def test_every_function_answers_the_service(site: Site) -> None:
    for function, arguments in await _functions(site.sql.connection):
        status, answer = await site.rest.call(function, arguments, role="service_role")
        code = answer.get("code") if isinstance(answer, dict) else None
        assert status not in {401, 403}, function
        assert code not in {"42501", "PGRST202", "PGRST203"}, function


async def test_an_overdraft_is_http_402_with_its_facts(site: Site) -> None:
    user = await site.sql.user(balance=3)

    status, answer = await site.rest.call(
        "deduct_credits", {"p_user_id": str(user), "p_credits": 4}, role="service_role"
    )

    assert (status, answer["code"], answer["message"]) == (402, "PT402", "insufficient_credits")
    assert answer["details"] == '{"needed": 4, "available": 3}'


async def _as(site: Site, method: str, path: str, *, user: UUID, body: object = None) -> Answer:
    return await site.rest.request(method, path, role="authenticated", user=user, body=body)


async def _try(site: Site, table: str, row: Row, *, verb: str, who: str, user: UUID) -> bool:
    """Whether the verb took effect on the row; a refusal that left a trace fails."""
    role = {"anon": "anon", "service": "service_role"}.get(who, "authenticated")
    path = f"/{table}?id=eq.{row['id']}"
    if verb == "insert":
        await site.sql.connection.execute(f"delete from public.{table} where id = $1", UUID(str(row["id"])))  # noqa: S608
    method, body = {
        "select": ("GET", None),
        "insert": ("POST", row),
        "update": ("PATCH", CHANGES[table]),
        "delete": ("DELETE", None),
    }[verb]
    path = {"insert": f"/{table}", "select": f"{path}&select=id"}.get(verb, path)

    status, answer = await site.rest.request(method, path, role=role, user=user, body=body)

    assert status < 500
    if verb == "select":
        return status == 200 and answer == [{"id": row["id"]}]
    reached = await _took_effect(site.sql.connection, table, row, verb=verb)
    assert not reached or status in {201, 204}
    return reached


async def _took_effect(connection: Connection, table: str, row: Row, *, verb: str) -> bool:
    now = await connection.fetchval(
        f"select to_jsonb(t) from public.{table} t where id = $1",  # noqa: S608 - a name of our own
        UUID(str(row["id"])),
    )
    if verb == "update":
        return bool(now.items() >= CHANGES[table].items())
    return (now is None) is (verb == "delete")


async def _row(connection: Connection, table: str, user: UUID) -> Row:
    """A row of the user, with the columns that have no default."""
    row: Row = {"id": str(uuid4()), **COLUMNS[table]}
    if table in PARENTS:
        column, parent = PARENTS[table]
        row[column] = (await _row(connection, parent, user))["id"]
    else:
        row["user_id"] = str(user)
    if table == "api_keys":
        row["key_hash"] = row["id"]
    if table == "credit_balances":
        await connection.execute("delete from public.credit_balances where user_id = $1", user)
    columns = ", ".join(row)
    await connection.execute(
        f"insert into public.{table} ({columns})"  # noqa: S608 - names of our own
        f" select {columns} from jsonb_populate_record(null::public.{table}, $1)",
        row,
    )
    return row


async def _functions(connection: Connection) -> list[tuple[str, dict[str, None]]]:
    """Every function that is served, with null for each argument."""
    rows = await connection.fetch(
        "select proname::text as name, coalesce(proargnames, '{}') as arguments from pg_proc"
        " where pronamespace = 'public'::regnamespace"
    )
    assert rows
    return [(row["name"], dict.fromkeys(row["arguments"])) for row in rows]
