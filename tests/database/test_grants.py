"""Who may do what: every function and table of ours, with the roles that may use it.

The lists are literal, so that a new function or grant has to be written down here too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseServer
from tests.support.sql import Sql, opened
from tests.support.tables import Connection

ROLES = ["anon", "authenticated", "service_role"]

# Schema public; each executable by service_role and nobody else.
FUNCTIONS = {
    "deduct_credits(uuid,integer,text)",
    "get_admin_stats(uuid)",
    "has_role(uuid,text)",
    "switchyard_agents_get(uuid,uuid)",
    "switchyard_agents_list(uuid)",
    "switchyard_agents_metrics(uuid,uuid)",
    "switchyard_agents_price(uuid)",
    "switchyard_agents_route(uuid,uuid)",
    "switchyard_answers_settle(uuid,text,integer,uuid,jsonb)",
    "switchyard_artifacts_get(uuid,uuid,text)",
    "switchyard_audit()",
    "switchyard_blobs_read(uuid,text,text)",
    "switchyard_blobs_write(uuid,uuid,text,text,text)",
    "switchyard_calls_begin(uuid,uuid,text,text)",
    "switchyard_clock()",
    "switchyard_conversations_create(uuid,uuid,text)",
    "switchyard_conversations_history(uuid,uuid)",
    "switchyard_conversations_read(uuid,uuid)",
    "switchyard_credits_expire(double precision,integer)",
    "switchyard_credits_get(uuid)",
    "switchyard_credits_hold(uuid,integer,text)",
    "switchyard_credits_release(uuid,text)",
    "switchyard_credits_settle(uuid,text,integer)",
    "switchyard_events_append(jsonb)",
    "switchyard_events_page(uuid,uuid,integer,integer,integer)",
    "switchyard_events_read(uuid,uuid,integer,integer)",
    "switchyard_events_relayed(uuid,uuid,integer)",
    "switchyard_events_tail(jsonb,integer)",
    "switchyard_hints_tell(text)",
    "switchyard_keys_create(uuid,text,text,text)",
    "switchyard_keys_find(text)",
    "switchyard_keys_list(uuid)",
    "switchyard_keys_revoke(uuid,uuid)",
    "switchyard_keys_touch(uuid[])",
    "switchyard_limits_take(uuid)",
    "switchyard_runs_backlog(double precision,double precision)",
    "switchyard_runs_cancel(uuid,uuid)",
    "switchyard_runs_check_key(uuid,uuid,text)",
    "switchyard_runs_claim(text,text[],integer,integer,double precision)",
    "switchyard_runs_finish(uuid,uuid,text,text,text,text,jsonb,jsonb,integer,jsonb)",
    "switchyard_runs_get(uuid,uuid)",
    "switchyard_runs_heartbeat(text,jsonb,double precision)",
    "switchyard_runs_join(uuid,text,text)",
    "switchyard_runs_list(uuid,uuid,integer)",
    "switchyard_runs_purge(integer,integer)",
    "switchyard_runs_reap(integer,double precision)",
    "switchyard_runs_reap_due(integer,double precision)",
    "switchyard_runs_receipt(uuid,uuid)",
    "switchyard_runs_release(uuid,uuid,jsonb,double precision)",
    "switchyard_runs_waiting(text[],double precision,integer)",
    "switchyard_runs_submit_seen(uuid,uuid,uuid,jsonb,jsonb,jsonb,text,uuid,jsonb,text,text,text,integer,"
    "double precision,double precision,text,uuid,double precision)",
    "switchyard_runs_submit(uuid,uuid,uuid,jsonb,jsonb,jsonb,text,uuid,jsonb,text,text,text,integer,"
    "double precision,double precision,text,uuid,double precision)",
    "switchyard_schema_version()",
    "switchyard_steps_read(uuid,text)",
    "switchyard_steps_save(uuid,uuid,text,jsonb,text,jsonb,integer,integer)",
    "switchyard_workers_drain(text,double precision)",
    "switchyard_workers_leave(text)",
    "switchyard_workers_seen(text,integer)",
}

ALL = {"SELECT", "INSERT", "UPDATE", "DELETE"}

# Schema public; what is not said is not granted. Rows are chosen by the policies, see test_policies.py.
TABLES: dict[str, dict[str, set[str]]] = {
    "agent_functions": {"authenticated": ALL, "service_role": ALL},
    "agents": {"authenticated": ALL, "service_role": ALL},
    "api_keys": {"service_role": ALL},
    "conversations": {"authenticated": ALL, "service_role": ALL},
    "credit_balances": {"authenticated": {"SELECT"}, "service_role": ALL},
    "credit_usage": {"authenticated": {"SELECT"}, "service_role": ALL},
    "messages": {"authenticated": ALL, "service_role": ALL},
    "user_roles": {"authenticated": {"SELECT"}, "service_role": ALL},
}

# Every column but the hash.
API_KEY_COLUMNS = {"id", "user_id", "key_name", "key_prefix", "last_used_at", "is_active", "created_at"}


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server) as sql:
        yield sql


@pytest.fixture
def connection(shared: Sql) -> Connection:
    return shared.connection


async def test_the_public_functions_are_those_on_the_list(connection: Connection) -> None:
    rows = await connection.fetch(
        "select oid::regprocedure::text as name from pg_proc where pronamespace = 'public'::regnamespace"
    )

    assert {row["name"] for row in rows} == FUNCTIONS


async def test_a_public_function_is_executable_by_the_service_alone(connection: Connection) -> None:
    rows = await connection.fetch(
        """
        select p.oid::regprocedure::text as name,
          array(select r from unnest($1::text[]) r where has_function_privilege(r, p.oid, 'execute')) as roles
        from pg_proc p
        where p.pronamespace = 'public'::regnamespace
        """,
        ROLES,
    )

    assert {row["name"]: row["roles"] for row in rows} == {name: ["service_role"] for name in FUNCTIONS}


async def test_nothing_in_the_engines_schema_is_granted_to_anybody(connection: Connection) -> None:
    granted = await connection.fetch(
        """
        select 'schema' as kind, r as name from unnest($1::text[]) r
        where has_schema_privilege(r, 'switchyard', 'usage, create')
        union all
        select r, p.oid::regprocedure::text from pg_proc p, unnest($1::text[]) r
        where p.pronamespace = 'switchyard'::regnamespace and has_function_privilege(r, p.oid, 'execute')
        union all
        select r, c.oid::regclass::text from pg_class c, unnest($1::text[]) r
        where c.relnamespace = 'switchyard'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
          and has_table_privilege(r, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        """,
        ROLES,
    )

    assert [tuple(row) for row in granted] == []


async def test_tables_are_granted_as_on_the_list(connection: Connection) -> None:
    rows = await connection.fetch(
        """
        select c.relname as name, r as role,
          array(
            select p from unnest(array[
              'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'
            ]) p
            where has_table_privilege(r, c.oid, p)
          ) as granted
        from pg_class c, unnest($1::text[]) r
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')
        """,
        ROLES,
    )

    found: dict[str, dict[str, set[str]]] = {row["name"]: {} for row in rows}
    for row in rows:
        if row["granted"]:
            found[row["name"]][row["role"]] = set(row["granted"])
    assert found == TABLES


async def test_a_user_may_read_every_column_of_their_keys_but_the_hash(connection: Connection) -> None:
    rows = await connection.fetch(
        "select attname::text as name, has_column_privilege($1, attrelid, attnum, 'select') as is_readable"
        " from pg_attribute where attrelid = 'public.api_keys'::regclass and attnum > 0",
        "authenticated",
    )

    assert {row["name"] for row in rows} == API_KEY_COLUMNS | {"key_hash"}
    assert {row["name"] for row in rows if row["is_readable"]} == API_KEY_COLUMNS


async def test_every_function_fixes_its_search_path(connection: Connection) -> None:
    loose = await connection.fetch(
        """
        select oid::regprocedure::text as name from pg_proc
        where pronamespace in ('public'::regnamespace, 'switchyard'::regnamespace)
          and not 'search_path=""' = any (coalesce(proconfig, '{}'))
        """
    )

    assert [row["name"] for row in loose] == []


async def test_every_public_function_runs_as_its_owner(connection: Connection) -> None:
    as_caller = await connection.fetch(
        "select oid::regprocedure::text as name from pg_proc"
        " where pronamespace = 'public'::regnamespace and not prosecdef"
    )

    assert [row["name"] for row in as_caller] == []


async def test_every_table_has_row_level_security(connection: Connection) -> None:
    open_tables = await connection.fetch(
        """
        select oid::regclass::text as name from pg_class
        where relnamespace in ('public'::regnamespace, 'switchyard'::regnamespace)
          and relkind in ('r', 'p') and not relrowsecurity
        """
    )

    assert [row["name"] for row in open_tables] == []


async def test_no_policy_speaks_of_anybody_but_signed_in_users(connection: Connection) -> None:
    rows = await connection.fetch(
        "select distinct schemaname, roles::text[] as roles, permissive from pg_policies"
        " where schemaname in ('public', 'switchyard')"
    )

    assert [tuple(row) for row in rows] == [("public", ["authenticated"], "PERMISSIVE")]
