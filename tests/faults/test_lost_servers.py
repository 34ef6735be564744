"""Servers that die, freeze or are told to go in the middle of a run: it ends once, and is charged once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.db import PoolDatabase, embedded_url
from tests.support.database import open_folder
from tests.support.process import ServerProcess
from tests.support.series import forecast_body

LONG = {"points": 2900, "horizon": 365}


@pytest.fixture
def own_data() -> Iterator[Path]:
    folder = open_folder()
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
async def replicas(demo_url: str, tmp_path: Path) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers on one database, with one development secret."""
    settings = {"DATABASE_URL": demo_url, "DATA_DIR": str(tmp_path)}
    async with ServerProcess.running(**settings) as first, ServerProcess.running(**settings) as second:
        yield first, second


# Any: rows of the audit.
async def audit(url: str) -> Any:
    database = PoolDatabase(url, size=2)
    await database.start()
    try:
        return await database.call("switchyard_audit")
    finally:
        await database.stop()


# Any: messages of the wire.
async def read_until_fitting(server: ServerProcess, run_id: str) -> list[dict[str, Any]]:
    """Messages up to the moment the model is being fitted, in a process of its own."""
    seen: list[dict[str, Any]] = []
    async for message in server.messages(run_id):
        seen.append(message)
        if "fitting" in message.get("note", ""):
            return seen
    raise AssertionError(f"never seen fitting: {seen}")


async def read_to_the_end(server: ServerProcess, run_id: str, *, after: int) -> list[dict[str, Any]]:
    return [message async for message in server.messages(run_id, after=after)]


async def check_handed_over(
    server: ServerProcess, run_id: str, seen: list[dict[str, Any]], *, url: str
) -> None:
    """Two claims, every event once and in order, one ending, one charge, nothing the audit minds."""
    assert [message["seq"] for message in seen] == list(range(1, len(seen) + 1))
    assert [message["type"] for message in seen if message["type"] in {"done", "error"}] == ["done"]
    receipt = await server.get(f"/api/runs/{run_id}/receipt")
    assert [entry["kind"] for entry in receipt["entries"]] == ["hold", "settle"]
    assert (receipt["charged"], receipt["attempts"]) == (1, 2)
    assert (await server.get("/api/credits"))["available"] == 49
    assert await audit(url) == []


async def test_a_run_whose_server_is_killed_while_it_computes_ends_once_after_a_new_start(
    own_data: Path,
) -> None:
    async with ServerProcess.running(DATA_DIR=str(own_data)) as server:
        run_id = await server.submit(forecast_body(**LONG))
        seen = await read_until_fitting(server, run_id)
        await server.kill()

    async with ServerProcess.running(DATA_DIR=str(own_data)) as server:
        seen += await read_to_the_end(server, run_id, after=seen[-1]["seq"])

        assert "retry" in [message["type"] for message in seen]
        url = embedded_url(own_data)
        assert url is not None
        await check_handed_over(server, run_id, seen, url=url)


async def test_a_run_is_cancelled_through_another_replica_than_the_one_that_executes(
    replicas: tuple[ServerProcess, ServerProcess], demo_url: str
) -> None:
    first, second = replicas
    with second.held():
        run_id = await first.submit(forecast_body(**LONG))
        seen = await read_until_fitting(first, run_id)

    answer = await second.client.post(f"/api/runs/{run_id}/cancel")
    rest = await read_to_the_end(second, run_id, after=seen[-1]["seq"])

    assert answer.status_code == 202
    assert (rest[-1]["type"], rest[-1]["code"]) == ("error", "cancelled")
    assert await audit(demo_url) == []
