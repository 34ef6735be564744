"""What only the pool has: connections, statements, a login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from foundation.db import PoolDatabase
from foundation.errors import DatabaseUnavailable, InternalError
from tests.support.database import DatabaseServer, at
from tests.support.functions import answering


@pytest.fixture(scope="module")
async def functions_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    async with answering(database_server) as url:
        yield url


@pytest.fixture
async def pool(functions_url: str) -> AsyncIterator[PoolDatabase]:
    pool = PoolDatabase(functions_url, size=2, command_timeout_s=5)
    await pool.start()
    yield pool
    await pool.stop()


async def test_a_time_is_text(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_now") == "2026-11-22 10:00:00+00"


async def test_an_unknown_function_is_our_fault_and_keeps_its_cause(pool: PoolDatabase) -> None:
    with pytest.raises(InternalError) as error:
        await pool.call("switchyard_not_there")

    assert "switchyard" not in error.value.detail
    assert isinstance(error.value.__cause__, asyncpg.UndefinedFunctionError)


async def test_a_wrong_type_is_our_own_fault(pool: PoolDatabase) -> None:
    with pytest.raises(InternalError):
        await pool.call("switchyard_add", a="one")


async def test_a_call_without_an_answer_in_time_is_unavailable(functions_url: str) -> None:
    pool = PoolDatabase(functions_url, size=1, command_timeout_s=0.1)
    await pool.start()

    with pytest.raises(DatabaseUnavailable):
        await pool.call("switchyard_sleep", seconds=5)

    assert await pool.call("switchyard_add", a=1) == 11
    await pool.stop()


async def test_more_calls_than_connections_take_turns(pool: PoolDatabase) -> None:
    backends = await asyncio.gather(*(pool.call("switchyard_backend") for _ in range(20)))

    assert 1 <= len(set(backends)) <= 2


async def test_the_server_knows_us_by_name(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_name") == "switchyard"


async def test_a_closed_pool_is_unavailable(functions_url: str) -> None:
    pool = PoolDatabase(functions_url, size=1)

    with pytest.raises(DatabaseUnavailable):
        await pool.call("switchyard_add", a=1)


async def test_a_wrong_login_is_refused_at_once_without_repeating_the_password(functions_url: str) -> None:
    password = "not-the-password-at-all"
    host = functions_url.partition("@")[2]

    with pytest.raises(DatabaseUnavailable, match="refused the login; check DATABASE_URL") as refusal:
        await PoolDatabase(f"postgresql://postgres:{password}@{host}", size=1).start()

    assert password not in str(refusal.value)


async def test_an_unknown_database_is_refused_at_once(functions_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await PoolDatabase(at(functions_url, "no_such_database"), size=1).start()
