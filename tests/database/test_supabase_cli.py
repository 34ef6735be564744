"""What the real Supabase CLI makes of `supabase/`, and that it and our own migrator follow each other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from foundation.db import MigrationError, migrate
from tests.support.database import MIGRATIONS, DatabaseServer, ask, drop
from tests.support.process import ROOT
from tests.support.supabase_cli import SupabaseCli, bare_project, guide_commands
from tests.support.tables import connected

FILES: Final = sorted(MIGRATIONS.glob("*.sql"))
VERSIONS: Final = [file.name.partition("_")[0] for file in FILES]
# Of an app, before the first of ours, between them, and after the last.
FIRST, EARLIER, LATER = "20260101000000", "20261125000000", "20991231000000"
NOT_FOUND: Final = "Remote migration versions not found in local migrations directory."
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


async def test_a_folder_that_lacks_files_of_the_record_is_not_pushed_from(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await bare_project(database_server)
    app, ours = SupabaseCli.on(tmp_path / "app", []), SupabaseCli.on(tmp_path / "ours")
    add(app, FIRST)
    await app.push(url)

    from_ours = await ours.refused("db", "push", url=url)
    await migrate(url, folder=MIGRATIONS)
    add(app, LATER)
    from_app = await app.refused("db", "push", url=url)

    assert NOT_FOUND in from_ours
    assert f"repair --status reverted {FIRST} " in from_ours
    assert NOT_FOUND in from_app
    assert f"repair --status reverted {' '.join(VERSIONS)} " in from_app
    await drop(database_server, url)


@pytest.mark.parametrize("by", ["the CLI", "the deployment"])
async def test_an_apps_folder_with_our_files_in_it_goes_on_whoever_applied_them(
    database_server: DatabaseServer, tmp_path: Path, by: str
) -> None:
    url = await bare_project(database_server)
    app = SupabaseCli.on(tmp_path, [])
    add(app, FIRST)
    await app.push(url)
    if by == "the deployment":
        await migrate(url, folder=MIGRATIONS)

    await app.type(guide_commands("together"), CHECKOUT=str(ROOT), DATABASE_URL=url)
    add(app, LATER)
    later = await app.push(url)
    add(app, EARLIER)
    refused = await app.refused("db", "push", url=url)
    earlier = await app.push(url, "--include-all")

    assert await migrate(url, folder=MIGRATIONS) == []
    assert later["migrations"] == [f"{LATER}_app.sql"]
    assert "--include-all" in refused
    assert earlier["migrations"] == [f"{EARLIER}_app.sql"]
    record = sorted([FIRST, EARLIER, *VERSIONS, LATER])
    assert await app.listed(url) == [(version, version) for version in record]
    await drop(database_server, url)


async def test_a_record_that_was_taken_back_stops_the_deployment_until_it_is_put_back(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await bare_project(database_server)
    await migrate(url, folder=MIGRATIONS)
    app = SupabaseCli.on(tmp_path)
    await app.run("migration", "repair", "--status", "reverted", *VERSIONS, url=url)

    with pytest.raises(MigrationError) as stopped:
        await migrate(url, folder=MIGRATIONS)
    await app.type(guide_commands("put back"), CHECKOUT=str(ROOT), DATABASE_URL=url)

    # Which is the wrong advice: that function is ours.
    assert "a function deduct_credits(uuid,integer,text) is there already" in str(stopped.value)
    assert await migrate(url, folder=MIGRATIONS) == []
    assert await ask(url, "select public.switchyard_audit()::text") == "[]"
    await drop(database_server, url)


async def test_who_leaves_takes_our_part_of_the_record_and_no_other(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await bare_project(database_server)
    app = SupabaseCli.on(tmp_path)
    add(app, FIRST)
    await app.push(url)

    await app.type(guide_commands("forget"), CHECKOUT=str(ROOT), DATABASE_URL=url)

    assert [version for version, *_ in await _history(url)] == [FIRST]
    assert [file.name for file in app.migrations.iterdir()] == [f"{FIRST}_app.sql"]
    assert (await app.push(url))["migrations"] == []
    await drop(database_server, url)


def add(app: SupabaseCli, version: str) -> None:
    """A migration of the app's own."""
    (app.migrations / f"{version}_app.sql").write_text(f"create table public.app_{version} (id integer);\n")


async def _history(url: str) -> list[tuple[object, ...]]:
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(HISTORY)]
