"""Bringing the database to the schema of this release; safe to run again, and by several at once.

A project that is reached through its Data API is only looked at: nobody can change a schema that way.
"""

from __future__ import annotations

import typer

from commands.backend import MIGRATIONS, with_database
from foundation.clock import GuidedClock
from foundation.db import database_of, migrate
from foundation.errors import NotConfigured
from foundation.settings import Settings
from foundation.telemetry import configure

__all__ = ["apply_migrations"]

HOW_TO_PUSH = """The Data API cannot change a schema. In a checkout of this release, with Supabase CLI 3.1:

    supabase link --project-ref <ref>
    supabase db push --remote

(a project with migrations of its own: from its folder, with our files copied into it; see docs/supabase.md)

or set DATABASE_URL and run this verb again."""


async def apply_migrations(settings: Settings) -> None:
    configure("warning", secrets=settings.secrets)
    if settings.data_api is not None:
        await _look(settings)
        return
    async with with_database(settings) as complete:
        assert complete.database_url is not None  # noqa: S101 - `with_database` has set it
        for name in await migrate(complete.database_url, folder=MIGRATIONS):
            typer.echo(f"applied {name}")
    typer.echo("the schema is up to date")


async def _look(settings: Settings) -> None:
    """Raises NotConfigured when the schema is not this release's, once it was said how it becomes that."""
    # Rooms that no other way to migrate needs.
    from heavy_agents.runs import PUSH, DatabaseCheck

    db = database_of(settings, size=1)
    await db.start()
    try:
        await DatabaseCheck(db, GuidedClock(), remedy=PUSH).check_schema()
    except NotConfigured:
        typer.echo(HOW_TO_PUSH, err=True)
        raise
    finally:
        await db.stop()
    typer.echo("the schema is what this release needs")
