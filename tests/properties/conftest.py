"""How hard the properties are tried, and the database they are tried on.

`HYPOTHESIS_PROFILE=deep` tries much longer than the ordinary test command does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.properties.talk import Talk, talk
from tests.support.database import DatabaseServer, drop, fresh_database

settings.register_profile(
    "floor",
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("floor"), max_examples=3_000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "floor"))


@pytest.fixture(scope="module")
async def module_database_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    url = await fresh_database(database_server)
    yield url
    await drop(database_server, url)


@pytest.fixture(scope="module")
def shared(module_database_url: str) -> Iterator[Talk]:
    """For properties that leave nothing behind."""
    with talk(module_database_url) as talking:
        yield talking


@pytest.fixture
def fresh(database_url: str) -> Iterator[Talk]:
    """A database of the test's own."""
    with talk(database_url) as talking:
        yield talking
