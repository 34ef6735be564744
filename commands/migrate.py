"""Bringing the database to the schema of this release; safe to run again, and by several at once."""

from __future__ import annotations

import typer

from commands.backend import MIGRATIONS, with_database
from foundation.db import migrate
from foundation.settings import Settings
from foundation.telemetry import configure

__all__ = ["apply_migrations"]


async def apply_migrations(settings: Settings) -> None:
    configure("warning")
    async with with_database(settings) as complete:
        assert complete.database_url is not None  # noqa: S101 - `with_database` has set it
        for name in await migrate(complete.database_url, folder=MIGRATIONS):
            typer.echo(f"applied {name}")
    typer.echo("the schema is up to date")
