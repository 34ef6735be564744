"""What every test may ask for: a real Postgres, and a fresh database in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from foundation.db import PoolDatabase, seed
from tests.support.database import (
    MIGRATIONS,
    DatabaseServer,
    copy_cluster,
    drop,
    fresh_database,
    open_folder,
    running_postgres,
)


def pytest_configure() -> None:
    """Traces are written plainly: with `rich` beside it, structlog takes a second of CPU to draw one."""
    *before, _ = structlog.get_config()["processors"]
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*before, plainly])


@pytest.fixture(scope="session")
async def database_server() -> AsyncIterator[DatabaseServer]:
    """One server a test process; it dies with it."""
    server = DatabaseServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def database_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    """A database of the test's own, migrated, not seeded."""
    url = await fresh_database(database_server)
    yield url
    await drop(database_server, url)


@pytest.fixture
async def demo_url(database_url: str) -> str:
    """A database of the test's own with the demo's user, credits and agents."""
    await seed(database_url, file=MIGRATIONS.parent / "seed.sql")
    return database_url


@pytest.fixture
async def empty_database_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    """A database of the test's own in which nothing was made yet."""
    url = await database_server.create_empty()
    yield url
    await drop(database_server, url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[PoolDatabase]:
    """A started pool on `database_url`."""
    pool = PoolDatabase(database_url, size=10)
    await pool.start()
    yield pool
    await pool.stop()


@pytest.fixture(scope="session")
async def made_cluster() -> AsyncIterator[Path]:
    """The data folder of an embedded Postgres after a first start and a stop; to be copied."""
    folder = open_folder()
    async with running_postgres(folder / "data"):
        pass
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def unmade() -> Iterator[Path]:
    """A data folder that does not exist yet."""
    folder = open_folder()
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(made_cluster: Path, unmade: Path) -> Path:
    """A data folder with a stopped cluster in it."""
    copy_cluster(made_cluster, unmade)
    return unmade
