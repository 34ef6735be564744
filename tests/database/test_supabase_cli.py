"""What the real Supabase CLI makes of `supabase/`, and that it and our own migrator follow each other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from foundation.db import migrate
from tests.support.database import MIGRATIONS, DatabaseServer, ask, drop
from tests.support.supabase_cli import SupabaseCli, bare_project
from tests.support.tables import connected

FILES: Final = sorted(MIGRATIONS.glob("*.sql"))
VERSIONS: Final = [file.name.partition("_")[0] for file in FILES]
HISTORY: Final = (
    "select version, name, statements from supabase_migrations.schema_migrations order by version"
)


async def test_a_push_brings_everything_and_a_second_one_nothing(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    pushed, migrated = await bare_project(database_server), await bare_project(database_server)
    cli = SupabaseCli.on(tmp_path)

    first = await cli.push(pushed, "--include-seed")
    history = await _history(pushed)
    second = await cli.push(pushed, "--include-seed")

    assert first["migrations"] == [file.name for file in FILES]
    assert len(first["seeds"]) == 1
    assert (second["migrations"], second["seeds"]) == ([], [])
    assert await cli.listed(pushed) == [(version, version) for version in VERSIONS]
    assert await ask(pushed, "select count(*) from public.agents") == 3
    assert await ask(pushed, "select public.switchyard_audit()::text") == "[]"

    # To the statement, so that neither tool can tell which of them was here.
    await migrate(migrated, folder=MIGRATIONS)
    assert history == await _history(pushed) == await _history(migrated)
    await drop(database_server, pushed)
    await drop(database_server, migrated)


async def test_the_cli_and_our_migrator_go_on_where_the_other_was(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await bare_project(database_server)
    cli = SupabaseCli.on(tmp_path, FILES[:8])
    ours = await migrate(url, folder=tmp_path / "supabase" / "migrations")
    cli.add(FILES[8:16])

    theirs = await cli.push(url)

    assert ours == VERSIONS[:8]
    assert theirs["migrations"] == [file.name for file in FILES[8:16]]
    assert await migrate(url, folder=MIGRATIONS) == VERSIONS[16:]
    await drop(database_server, url)


async def test_the_record_is_emptied_by_who_leaves(database_server: DatabaseServer, tmp_path: Path) -> None:
    url = await bare_project(database_server)
    await migrate(url, folder=MIGRATIONS)

    await SupabaseCli.on(tmp_path).run("migration", "repair", "--status", "reverted", *VERSIONS, url=url)

    assert await _history(url) == []
    await drop(database_server, url)


async def _history(url: str) -> list[tuple[object, ...]]:
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(HISTORY)]
