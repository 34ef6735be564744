"""A database for all files, wiped before each test; every test ends with an audit that finds nothing.

What goes through `sql` goes through both doors: the pool, and a real PostgREST with the Supabase client. A
test of what only the pool has says so with `THROUGH_THE_POOL`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseServer
from tests.support.doors import DOORS, project_of, through
from tests.support.gateway import Gateway
from tests.support.sql import Sql, opened

SIZE = 64


@pytest.fixture(scope="session")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server, size=SIZE) as sql:
        yield sql


@pytest.fixture(scope="session")
async def project(shared: Sql) -> AsyncIterator[Gateway]:
    """The same database as a project, whose PostgREST has as many connections as the pool."""
    async with project_of(shared.url, connections=SIZE) as gateway:
        yield gateway


@pytest.fixture(scope="session")
async def through_the_project(shared: Sql, project: Gateway) -> AsyncIterator[Sql]:
    async with through(project, size=SIZE) as database:
        yield Sql(database, shared.connection, url=shared.url)


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Sql:
    """Only the door that is asked for is opened."""
    found: Sql = request.getfixturevalue("shared" if request.param == "pool" else "through_the_project")
    return found


@pytest.fixture
async def sql(door: Sql) -> AsyncIterator[Sql]:
    await door.wipe()
    yield door
    assert await door.audit() == []
