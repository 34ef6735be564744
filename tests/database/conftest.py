"""A database for a whole file, wiped before each test; every test ends with an audit that finds nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseServer
from tests.support.sql import Sql, opened


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server, size=64) as sql:
        yield sql


@pytest.fixture
async def sql(shared: Sql) -> AsyncIterator[Sql]:
    await shared.wipe()
    yield shared
    assert await shared.audit() == []
