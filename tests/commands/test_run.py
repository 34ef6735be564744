"""One heavy run through the public door of a real server process on its own embedded database."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.database import open_folder
from tests.support.process import ServerProcess, run_command
from tests.support.series import forecast_body


@pytest.fixture(scope="module")
def own_data() -> Iterator[Path]:
    folder = open_folder()
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def server(own_data: Path) -> AsyncIterator[ServerProcess]:
    async with ServerProcess.running(DATA_DIR=str(own_data)) as running:
        yield running


async def test_a_forecast_streams_from_started_to_done_and_costs_one_credit(server: ServerProcess) -> None:
    before = await server.get("/api/credits")

    run_id = await server.submit(forecast_body())
    messages = [message async for message in server.messages(run_id)]

    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert messages[0]["type"] == "started"
    assert {"progress", "artifact"} <= {message["type"] for message in messages}
    assert messages[-1]["type"] == "done"
    assert messages[-1]["creditsUsed"] == 1
    assert len(messages[-1]["output"]["points"]) == 7
    after = await server.get("/api/credits")
    assert after["available"] == before["available"] - 1
    assert after["held"] == 0


async def test_the_chart_and_the_table_can_be_fetched(server: ServerProcess) -> None:
    run_id = await server.submit(forecast_body())
    artifacts = [m async for m in server.messages(run_id) if m["type"] == "artifact"]

    files = {each["name"]: await server.client.get(each["url"]) for each in artifacts}

    assert files["forecast.csv"].headers["content-type"].startswith("text/csv")
    assert files["forecast.csv"].text.count("\n") >= 8
    assert files["forecast.svg"].text.rstrip().endswith("</svg>")


async def test_the_receipt_shows_the_hold_and_its_settlement(server: ServerProcess) -> None:
    run_id = await server.submit(forecast_body())
    _ = [message async for message in server.messages(run_id)]

    receipt = await server.get(f"/api/runs/{run_id}/receipt")

    assert [entry["kind"] for entry in receipt["entries"]] == ["hold", "settle"]
    assert receipt["charged"] == 1
    assert [step["name"] for step in receipt["steps"]] == ["forecast"]


async def test_a_series_that_is_too_short_is_refused_by_name_and_costs_nothing(server: ServerProcess) -> None:
    before = await server.get("/api/credits")

    answer = await server.client.post("/api/agent/execute", json=forecast_body(points=3))

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "invalid_body"
    assert problem["errors"][0]["field"] == "input.series"
    assert await server.get("/api/credits") == before


async def test_a_second_server_on_the_same_data_is_refused_in_one_sentence(
    server: ServerProcess, own_data: Path
) -> None:
    code, _, err = await run_command("serve", DATA_DIR=str(own_data), PORT="0")

    assert code == 2
    assert len(err.strip().splitlines()) == 1
