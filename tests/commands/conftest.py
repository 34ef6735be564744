"""What the tests of verbs that ask a server share: a stage and a server on it, the same for a whole file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foundation.db import seed
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database
from tests.support.process import ServerProcess
from tests.support.stage import Stage, open_stage


@pytest.fixture(scope="module")
async def opened(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = await fresh_database(database_server)
    await seed(url, file=MIGRATIONS.parent / "seed.sql")
    async with open_stage(url, tmp_path_factory.mktemp("run")) as opened:
        yield opened
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def shared(opened: Stage) -> AsyncIterator[ServerProcess]:
    async with ServerProcess.running(**opened.settings) as running:
        yield running


@pytest.fixture
async def stage(opened: Stage) -> Stage:
    """One for all tests of this file, and nothing of the others on it."""
    await opened.clear()
    return opened


@pytest.fixture
async def own_stage(demo_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """For runs that nobody but the test's own servers may take up."""
    async with open_stage(demo_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def server(shared: ServerProcess, stage: Stage) -> ServerProcess:
    """For tests that do it no harm; it has not been asked anything since `stage` was cleared."""
    return shared
