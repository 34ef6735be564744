"""The schema as a whole: documented, the same however it came about, on every Postgres we name."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE

import pytest

from foundation.db import migrate, seed
from foundation.db.embedded.binaries import Binaries, installed, within_reach
from foundation.db.embedded.postmaster import Outcome, Postmaster
from foundation.db.embedded.process import ended, spawn
from foundation.db.embedded.unprivileged import give, named_uid, server_uid
from heavy_agents.runs import SCHEMA_VERSION
from tests.support.database import MIGRATIONS, DatabaseServer, drop, open_folder
from tests.support.sql import Sql, chunks, opened, talking
from tests.support.tables import Connection, connected

OURS = "in ('public'::regnamespace, 'switchyard'::regnamespace)"

# Numbers without a unit, and names that are the app's own.
PLAIN_NUMBERS = {
    "agent_functions.execution_order",
    "agents.max_tokens",
    "agents.temperature",
    "switchyard.events.seq",
    "switchyard.ledger.id",
    "switchyard.plans.per_hour",
    "switchyard.plans.per_minute",
    "switchyard.rate_windows.used",
}


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server) as sql:
        yield sql


@pytest.fixture
def connection(shared: Sql) -> Connection:
    return shared.connection


@pytest.fixture(scope="module")
async def postgres_16_url() -> AsyncIterator[str]:
    """An empty Postgres 16 on a socket of its own."""
    folder = open_folder()
    uid = None if server_uid() is None else named_uid()
    binaries = within_reach(Binaries(installed().home.with_name("pginstall")), uid=uid, root=folder / "root")
    cluster, sockets, log = folder / "made" / "cluster", folder / "made", folder / "log"
    sockets.mkdir(mode=0o700)
    if uid is not None:
        give(sockets, uid)
    maker = spawn(
        [str(binaries.program("initdb")), f"--pgdata={cluster}", "--username=postgres", "--auth=trust"],
        uid=uid,
        dies_by=SIGKILL,
        log=log,
    )
    assert await ended(maker, within_s=60) == 0, log.read_text()
    settings = {"listen_addresses": "", "unix_socket_directories": str(sockets), "fsync": "off"}
    server = Postmaster(cluster, program=binaries.program("postgres"), uid=uid, log=log, settings=settings)
    try:
        assert await server.start(5432) is Outcome.READY, log.read_text()
        yield f"postgresql://postgres@/postgres?host={sockets}"
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def test_every_table_and_function_has_a_comment(connection: Connection) -> None:
    silent = await connection.fetch(
        f"""
        select oid::regclass::text as name from pg_class
        where relnamespace {OURS} and relkind in ('r', 'p', 'v', 'm')
          and obj_description(oid, 'pg_class') is null
        union all
        select oid::regprocedure::text from pg_proc
        where pronamespace {OURS} and obj_description(oid, 'pg_proc') is null
        """  # noqa: S608 - written above
    )

    assert [row["name"] for row in silent] == []


async def test_every_number_says_its_unit_in_its_name_or_its_comment(connection: Connection) -> None:
    silent = await connection.fetch(
        f"""
        select attrelid::regclass::text || '.' || attname as name
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and c.relnamespace {OURS}
        where attnum > 0 and not attisdropped
          and format_type(atttypid, null) in ('smallint', 'integer', 'bigint', 'double precision', 'numeric')
          and attname !~ '(_s|_ms|_bytes|_credits)$|^credits_'
          and col_description(attrelid, attnum) is null
        """  # noqa: S608 - written above
    )

    assert {row["name"] for row in silent} == PLAIN_NUMBERS


async def test_migrated_step_by_step_equals_migrated_at_once(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    at_once, by_steps = await database_server.create_empty(), await database_server.create_empty()
    await migrate(at_once, folder=MIGRATIONS)

    for file in sorted(MIGRATIONS.glob("*.sql")):
        shutil.copy(file, tmp_path)
        assert len(await migrate(by_steps, folder=tmp_path)) == 1

    assert await _dump(by_steps) == await _dump(at_once)
    await drop(database_server, at_once)
    await drop(database_server, by_steps)


async def test_an_app_that_has_accounts_keeps_them(database_server: DatabaseServer, tmp_path: Path) -> None:
    url = await database_server.create_empty()
    await migrate(url, folder=tmp_path)
    async with connected(url) as connection:
        await connection.execute(
            """
            create table public.credit_balances (
              id uuid primary key default gen_random_uuid(),
              user_id uuid not null unique references auth.users (id) on delete cascade,
              credits_remaining integer not null default 0,
              credits_used_this_month integer not null default 0,
              plan_type text not null default 'free',
              theme text,
              created_at timestamptz not null default now(),
              updated_at timestamptz not null default now()
            );
            grant all on public.credit_balances to anon, authenticated;
            insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
            insert into public.credit_balances (user_id, credits_remaining, plan_type, theme)
            values ('00000000-0000-4000-8000-000000000001', 42, 'pro', 'dark');
            """
        )

        await migrate(url, folder=MIGRATIONS)

        row = await connection.fetchrow(
            "select credits_remaining, held, plan_type, theme from public.credit_balances"
        )
        ledger = await connection.fetch("select kind, amount, held from switchyard.ledger")
        may_write = await connection.fetchval(
            "select has_table_privilege('authenticated', 'public.credit_balances', 'insert, update, delete')"
        )
        broken = await connection.fetchval("select public.switchyard_audit()")
    assert row is not None
    assert tuple(row) == (42, 0, "pro", "dark")
    assert [tuple(each) for each in ledger] == [("opening", 42, 0)]
    assert may_write is False
    assert broken == []
    await drop(database_server, url)


async def test_the_demo_data_may_be_sown_again(database_url: str) -> None:
    for _ in range(2):
        await seed(database_url, file=MIGRATIONS.parent / "seed.sql")

    async with connected(database_url) as connection:
        assert await connection.fetchval("select count(*) from public.agents") == 3
        assert await connection.fetchval("select public.switchyard_audit()") == []


async def test_the_schema_says_its_version(shared: Sql) -> None:
    assert await shared.call("schema_version") == {"version": SCHEMA_VERSION}


async def test_postgres_16_takes_the_schema_and_carries_a_run(postgres_16_url: str) -> None:
    await migrate(postgres_16_url, folder=MIGRATIONS)

    async with talking(postgres_16_url) as sql:
        version = await sql.connection.fetchval("show server_version_num")
        user = await sql.user(balance=10)
        claim = await sql.running(user, hold=5)
        await sql.append(claim, chunks(2, "a", step="one"))
        await sql.expire(claim["run_id"])
        await sql.reap()
        (claim,) = await sql.claim()
        await sql.heartbeat(claim)
        await sql.save(claim, "one", {"n": 1}, accrued=2)
        await sql.finish(claim, charge=3)
        broken = await sql.audit()
        money = await sql.money(user)

    assert version.startswith("16")
    assert (broken, money) == ([], (7, 0))


async def _dump(url: str) -> list[str]:
    """The schema as `pg_dump` tells it, without what differs from call to call."""
    process = await asyncio.create_subprocess_exec(
        installed().program("pg_dump"), "--schema-only", url, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [line for line in out.decode().splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))]
