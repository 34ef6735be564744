"""The two ways into a database: connections of our own, and a project's Data API. Tests go through both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from foundation.db import SupabaseDatabase
from tests.support.gateway import Gateway, fronting
from tests.support.postgrest import serving

__all__ = ["DOORS", "THROUGH_THE_POOL", "project_of", "through"]

DOORS = ("pool", "project")
THROUGH_THE_POOL = pytest.mark.parametrize("door", ["pool"], indirect=True)


@asynccontextmanager
async def project_of(database_url: str, *, connections: int = 10) -> AsyncIterator[Gateway]:
    """PostgREST on a database, behind a gateway."""
    async with serving(database_url, db_pool=str(connections)) as rest, fronting(rest) as gateway:
        yield gateway


@asynccontextmanager
async def through(
    project: Gateway, *, size: int = 10, command_timeout_s: float = 60
) -> AsyncIterator[SupabaseDatabase]:
    database = SupabaseDatabase(project.url, project.key, size=size, command_timeout_s=command_timeout_s)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()
