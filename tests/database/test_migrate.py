from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import asyncpg
import pytest

from foundation.db import MigrationError, migrate, seed

RECORD = "select version, name, statements from supabase_migrations.schema_migrations order by version"


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


def write(folder: Path, **files: str) -> Path:
    """`_10_name="…"` becomes `10_name.sql`."""
    for name, sql in files.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(sql)
    return folder


async def test_files_are_applied_in_order_and_recorded_as_the_supabase_cli_does(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    folder = write(
        tmp_path,
        _20261101000000_rows="insert into t values (1);\n\n-- and more\ninsert into t values (2);\n",
        _20261001000000_table="create table t (x int);",
    )

    applied = await migrate(empty_database_url, folder=folder)

    assert applied == ["20261001000000", "20261101000000"]
    assert [tuple(row) for row in await connection.fetch(RECORD)] == [
        ("20261001000000", "table", ["create table t (x int)"]),
        ("20261101000000", "rows", ["insert into t values (1)", "-- and more\ninsert into t values (2)"]),
    ]
    assert await connection.fetchval("select sum(x) from t") == 3


async def test_applied_files_are_not_applied_again(empty_database_url: str, tmp_path: Path) -> None:
    await migrate(empty_database_url, folder=write(tmp_path, _1_a="create table a (x int);"))

    again = await migrate(empty_database_url, folder=write(tmp_path, _2_b="create table b (x int);"))

    assert again == ["2"]


async def test_replicas_that_start_together_migrate_once(empty_database_url: str, tmp_path: Path) -> None:
    folder = write(tmp_path, **{f"_{n}_t": f"create table t{n} (x int);" for n in range(1, 6)})

    applied = await asyncio.gather(*(migrate(empty_database_url, folder=folder) for _ in range(4)))

    assert sorted(chain.from_iterable(applied)) == ["1", "2", "3", "4", "5"]


async def test_a_failing_file_names_its_line_and_leaves_nothing(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    folder = write(
        tmp_path,
        _1_good="create table good (x int);",
        _2_bad="create table half (x int);\n\n-- why\ninsert into half\n  values ('many');\n",
    )

    with pytest.raises(MigrationError, match=r"2_bad\.sql, line 5: invalid input syntax for type integer"):
        await migrate(empty_database_url, folder=folder)

    assert [row["version"] for row in await connection.fetch(RECORD)] == ["1"]
    assert await connection.fetchval("select to_regclass('half')") is None


async def test_a_failure_without_a_position_names_its_statement(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = write(
        tmp_path, _1_t="create table t (x int primary key);\n-- twice\ninsert into t values (1), (1);\n"
    )

    with pytest.raises(
        MigrationError, match=r"line 3: duplicate key .* in `insert into t values \(1\), \(1\)`"
    ):
        await migrate(empty_database_url, folder=folder)


async def test_a_file_that_ends_its_own_transaction_is_refused(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, _1_t="create table t (x int);\nCOMMIT;\n")

    with pytest.raises(MigrationError, match=r"1_t\.sql, line 2: a file is one transaction"):
        await migrate(empty_database_url, folder=folder)


async def test_what_a_file_sets_does_not_reach_the_next(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    folder = write(
        tmp_path,
        _1_a="create schema other; set search_path = other; create table a (x int);",
        _2_b="create table b (x int);",
    )

    await migrate(empty_database_url, folder=folder)

    assert await connection.fetchval("select to_regclass('other.a') is not null")
    assert await connection.fetchval("select to_regclass('public.b') is not null")


async def test_a_file_older_than_an_applied_one_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    await migrate(empty_database_url, folder=write(tmp_path, _1_a="select 1;", _3_c="select 1;"))

    with pytest.raises(MigrationError, match=r"2_b\.sql was not applied, but the later 3_c\.sql was"):
        await migrate(empty_database_url, folder=write(tmp_path, _2_b="select 1;"))


async def test_a_misnamed_file_an_absent_folder_and_a_version_used_twice_are_refused(
    empty_database_url: str, tmp_path: Path
) -> None:
    misnamed, twice = tmp_path / "misnamed", tmp_path / "twice"
    misnamed.mkdir()
    twice.mkdir()

    with pytest.raises(MigrationError, match=r"init\.sql is not named <version>_<name>\.sql"):
        await migrate(empty_database_url, folder=write(misnamed, init="select 1;"))
    with pytest.raises(MigrationError, match="there is no folder"):
        await migrate(empty_database_url, folder=tmp_path / "absent")
    with pytest.raises(MigrationError, match="have the same version"):
        await migrate(empty_database_url, folder=write(twice, _1_a="select 1;", _1_b="select 1;"))


@pytest.mark.parametrize(
    "columns",
    [
        "version text not null primary key",
        "version text primary key, statements text[], name text, created_by text, idempotency_key text",
    ],
)
async def test_a_record_made_by_another_tool_is_read_and_continued(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path, columns: str
) -> None:
    await connection.execute(
        f"create schema supabase_migrations; create table supabase_migrations.schema_migrations ({columns})"
    )
    await connection.execute(
        "insert into supabase_migrations.schema_migrations (version) values ('1'), ('20990101000000')"
    )

    applied = await migrate(empty_database_url, folder=write(tmp_path, _1_a="select 1/0;", _2_b="select 1;"))

    assert applied == ["2"]
    assert await connection.fetchval("select count(*) from supabase_migrations.schema_migrations") == 3


async def test_a_plain_postgres_gets_what_supabase_has_from_the_start(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await migrate(empty_database_url, folder=tmp_path)
    await migrate(empty_database_url, folder=tmp_path)

    roles = await connection.fetch(
        "select rolname, rolcanlogin, rolbypassrls from pg_roles"
        " where rolname in ('anon', 'authenticated', 'service_role') order by 1"
    )
    assert [tuple(row) for row in roles] == [
        ("anon", False, False),
        ("authenticated", False, False),
        ("service_role", False, True),
    ]
    assert await connection.fetchval("select auth.uid()") is None
    await connection.execute("insert into auth.users (id, email) values (gen_random_uuid(), 'a@example.org')")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("request.jwt.claims", '{"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated"}'),
        ("request.jwt.claim.sub", "00000000-0000-0000-0000-000000000001"),
    ],
)
async def test_a_users_token_tells_policies_who_asks(
    empty_database_url: str,
    connection: asyncpg.Connection[asyncpg.Record],
    tmp_path: Path,
    setting: str,
    value: str,
) -> None:
    await migrate(empty_database_url, folder=tmp_path)

    async with connection.transaction():
        await connection.execute("set local role authenticated")
        await connection.execute("select set_config($1, $2, true)", setting, value)
        asker = await connection.fetchval("select auth.uid()::text")

    assert asker == "00000000-0000-0000-0000-000000000001"


async def test_a_token_tells_its_role_and_claims(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await migrate(empty_database_url, folder=tmp_path)

    async with connection.transaction():
        await connection.execute(
            """select set_config('request.jwt.claims', '{"role": "anon", "aal": "aal1"}', true)"""
        )
        role, level = await connection.fetchrow("select auth.role(), auth.jwt() ->> 'aal'") or ("", "")

    assert (role, level) == ("anon", "aal1")


async def test_new_tables_are_granted_to_nobody(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await migrate(empty_database_url, folder=write(tmp_path, _1_t="create table t (x int);"))

    granted = await connection.fetchval(
        "select bool_or(has_table_privilege(role, 't', 'select'))"
        " from unnest(array['anon', 'authenticated', 'service_role']) as role"
    )

    assert granted is False


async def test_somebody_elses_auth_schema_is_left_alone(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await connection.execute("create schema auth; comment on schema auth is 'the real one'")

    await migrate(empty_database_url, folder=tmp_path)

    assert await connection.fetchval("select to_regclass('auth.users')") is None


async def test_a_seed_is_kept_as_a_whole_or_not_at_all(
    empty_database_url: str, connection: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await migrate(empty_database_url, folder=write(tmp_path, _1_t="create table t (x int primary key);"))
    good, bad = tmp_path / "good.seed", tmp_path / "bad.seed"
    good.write_text("insert into t values (1);\ninsert into t values (2);")
    bad.write_text("insert into t values (3);\ninsert into t values (1);")

    await seed(empty_database_url, file=good)
    with pytest.raises(MigrationError, match=r"bad\.seed, line 2"):
        await seed(empty_database_url, file=bad)

    assert await connection.fetchval("select array_agg(x order by x) from t") == [1, 2]
