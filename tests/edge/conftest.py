"""The fixtures of the edge's tests: one ground for all of them, and what stands on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.pairs import Ground, Pairs, open_ground


@pytest.fixture(scope="session")
async def ground(database_server: DatabaseServer) -> AsyncIterator[Ground]:
    url = await fresh_database(database_server)
    async with open_ground(url) as opened:
        yield opened
    await drop(database_server, url)


@pytest.fixture(scope="session")
async def pairs(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pairs]:
    async with AsyncExitStack() as stack:
        yield Pairs(ground, tmp_path_factory.mktemp("edge"), stack)
