"""How a database gets its schema: the files of `supabase/migrations`, in order, each once.

Each file is one transaction together with its row in the Supabase CLI's own record, so that either tool
may apply the next one. Replicas that start together queue at a lock which ends with the transaction, so
it holds through a transaction pooler too. After a crash between two files the next start goes on.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from foundation.db.mapping import NO_ANSWER, error_of
from foundation.db.patience import connect_patiently
from foundation.db.pending import Migration, MigrationError, in_folder, pending
from foundation.db.roles import ensure_roles
from foundation.db.statements import Statement, split
from foundation.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Connection, PostgresError, Record

__all__ = ["migrate", "seed"]

log = structlog.get_logger(__name__)

CONNECT_WITHIN_S = 30.0

_TRANSACTION_CONTROL = re.compile(r"(?:begin|start\s+transaction|commit|end|rollback|abort)\b", re.IGNORECASE)

# Any constant will do, as long as nobody else takes the same one: "switchyard" in a 64-bit hash.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('switchyard.migrate', 0))"
_WAIT_FOR_OTHERS = "set local lock_timeout = '10min'"
# A table that is in use makes the migration fail rather than everybody queue behind it.
_WAIT_FOR_TABLES = "set local lock_timeout = '15s'"
_TAKE_YOUR_TIME = "set local statement_timeout = '30min'"

# As the CLI makes it; older ones made it with fewer columns, other tools add more.
_RECORD = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_HAS_RECORD = """
select count(*) = 3
from pg_catalog.pg_attribute
where attrelid = to_regclass('supabase_migrations.schema_migrations')
  and attname in ('version', 'statements', 'name')
"""
_APPLIED = "select version, coalesce(name, '') as name from supabase_migrations.schema_migrations"
_ENTER = "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)"


async def migrate(url: str, *, folder: Path) -> list[str]:
    """Apply what is pending, oldest first; safe to repeat and to run on many replicas at once.

    Returns:
        The versions applied by this call.

    Raises:
        MigrationError: a file is misnamed, out of order, or failed; a failed one has left nothing behind.
        DatabaseUnavailable: no connection could be had, or it was lost; try again.
    """
    known = await asyncio.to_thread(in_folder, folder)
    applied: list[str] = []
    async with _connection(url) as connection:
        await _prepare(connection)
        while (version := await _apply_next(connection, known)) is not None:
            applied.append(version)
    return applied


async def seed(url: str, *, file: Path) -> None:
    """Run `file` in one transaction. Whether it may run twice is up to the file.

    Raises:
        MigrationError: a statement failed; nothing was kept.
    """
    statements = split(await asyncio.to_thread(_read, file))
    async with _connection(url) as connection, connection.transaction():
        await _run(connection, statements, file=file)


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Connection[Record]]:
    # Here, so that importing this package stays cheap.
    from asyncpg import InterfaceError, PostgresError, connect

    connection = await connect_patiently(
        lambda: connect(
            url,
            timeout=10,
            statement_cache_size=0,
            server_settings={"application_name": "switchyard migrate"},
        ),
        within_s=CONNECT_WITHIN_S,
    )
    try:
        yield connection
    except PostgresError as error:
        failure = error_of(error.sqlstate or "", message="", detail=None)
        if isinstance(failure, DatabaseUnavailable):
            raise failure from error
        raise MigrationError(str(error)) from error
    except (InterfaceError, OSError) as error:
        raise DatabaseUnavailable(NO_ANSWER) from error
    finally:
        await connection.close(timeout=5)


async def _prepare(connection: Connection[Record]) -> None:
    """See that there are the roles that migrations grant to, and a record of what was applied."""
    async with _turn(connection):
        await ensure_roles(connection)
        if not await connection.fetchval(_HAS_RECORD):
            await connection.execute(_RECORD)


async def _apply_next(connection: Connection[Record], known: list[Migration]) -> str | None:
    """Apply the oldest pending file; None when there is none."""
    # What one file sets for its session must not reach the next.
    await connection.execute("reset all")
    async with _turn(connection):
        applied = {row["version"]: row["name"] for row in await connection.fetch(_APPLIED)}
        todo = pending(known, applied)
        if not todo:
            return None
        await _apply(connection, todo[0])
        return todo[0].version


@asynccontextmanager
async def _turn(connection: Connection[Record]) -> AsyncIterator[None]:
    """A transaction that other replicas wait for; each looks again when its turn comes."""
    async with connection.transaction():
        await connection.execute(f"{_WAIT_FOR_OTHERS}; {_TAKE_YOUR_TIME}; {_LOCK}; {_WAIT_FOR_TABLES}")
        yield


async def _apply(connection: Connection[Record], migration: Migration) -> None:
    statements = split(await asyncio.to_thread(_read, migration.file))
    await _run(connection, statements, file=migration.file)
    # The search path or role a file sets must not decide where its row goes.
    await connection.execute("reset role; reset search_path")
    await connection.execute(_ENTER, migration.version, migration.name, [each.text for each in statements])
    log.info("migration_applied", version=migration.version, name=migration.name)


async def _run(connection: Connection[Record], statements: list[Statement], *, file: Path) -> None:
    from asyncpg import PostgresError

    for statement in statements:
        if _TRANSACTION_CONTROL.match(statement.body):
            line = statement.line_of(None)
            raise MigrationError(
                f"{file.name}, line {line}: a file is one transaction; leave out begin and commit"
            )
        if not statement.body:
            continue
        try:
            await connection.execute(statement.text)
        except PostgresError as error:
            raise MigrationError(_complaint(error, statement, file)) from error


def _complaint(error: PostgresError, statement: Statement, file: Path) -> str:
    position = int(error.position) if error.position else None
    extra = "".join(f" ({each})" for each in (error.detail, error.hint) if each)
    first_line = statement.body.splitlines()[0].strip()[:80]
    return f"{file.name}, line {statement.line_of(position)}: {error.args[0]}{extra}, in `{first_line}`"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MigrationError(f"{file} cannot be read: {error}") from error
