"""What the verbs need of the composition root, which hands itself in from above."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from starlette.types import ASGIApp

from foundation.db import EmbeddedPostgres, migrate, seed
from foundation.lifecycle import Lifecycle
from foundation.settings import Settings
from foundation.telemetry import Health

__all__ = ["MIGRATIONS", "Backend", "Build", "with_database"]

SUPABASE = Path(__file__).parent.parent / "supabase"
MIGRATIONS = SUPABASE / "migrations"


class Backend(Protocol):
    @property
    def app(self) -> ASGIApp: ...

    @property
    def lifecycle(self) -> Lifecycle: ...

    @property
    def health(self) -> Health: ...


class Build(Protocol):
    def __call__(self, settings: Settings, /) -> Backend: ...


@asynccontextmanager
async def with_database(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a database: what is configured, or an embedded one, migrated and with demo data."""
    if not settings.is_embedded:
        yield settings
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    await embedded.start()
    try:
        await migrate(embedded.url, folder=MIGRATIONS)
        if not settings.is_production:
            await seed(embedded.url, file=SUPABASE / "seed.sql")
        yield settings.model_copy(update={"database_url": embedded.url})
    finally:
        await embedded.stop()
