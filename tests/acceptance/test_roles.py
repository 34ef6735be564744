"""Front doors and workers as processes of their own, on one database: what each does, and what it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from foundation.db import seed
from tests.support.audit import audit
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database
from tests.support.process import ServerProcess, run_command, until
from tests.support.stage import ANSWER, Stage, Talk, open_stage

WORKER = ("railway_server.py", "worker")


@pytest.fixture(scope="module")
async def stage(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = await fresh_database(database_server)
    await seed(url, file=MIGRATIONS.parent / "seed.sql")
    async with open_stage(url, tmp_path_factory.mktemp("roles")) as opened:
        yield opened
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def web(stage: Stage) -> AsyncIterator[ServerProcess]:
    async with ServerProcess.of({**stage.settings, "ROLE": "web"}) as running:
        yield running


@asynccontextmanager
async def worker(stage: Stage) -> AsyncIterator[ServerProcess]:
    async with ServerProcess.of(stage.settings, program=WORKER) as running:
        yield running


async def begin(stage: Stage, web: ServerProcess, name: str) -> Talk:
    talk = Talk(name)
    await stage.prepare([talk])
    talk.run_id = await stage.submit(web, name)
    return talk


async def workers_of(stage: Stage, talk: Talk) -> list[str]:
    """Whoever executes the run now."""
    rows = await stage.sql.fetch("select worker from switchyard.runs where id = $1::text::uuid", talk.run_id)
    return [row["worker"] for row in rows]


async def has_slots(web: ServerProcess, slots: int) -> bool:
    """Whether the front door knows of so many, and that all are free."""
    capacity = (await web.get("/api/agent/health"))["capacity"]
    return bool(capacity == {"active": 0, "slots": slots, "free": slots})


async def test_a_run_waits_at_the_front_door_until_a_worker_takes_it(
    stage: Stage, web: ServerProcess
) -> None:
    talk = await begin(stage, web, "waits")
    assert await workers_of(stage, talk) == [None]

    async with worker(stage) as takes:
        await talk.follow(web)
        await until(lambda: has_slots(web, 32), within_s=20)
        executed = (await takes.client.get("/metrics/summary")).json()
        accepted = (await web.client.get("/metrics/summary")).json()

    assert talk.seen[-1]["type"] == "done"
    assert talk.seen[-1]["response"].endswith(ANSWER)
    assert [message["seq"] for message in talk.seen] == list(range(1, len(talk.seen) + 1))
    assert executed["runs"] == {"succeeded": 1, "failed": 0, "cancelled": 0}
    assert accepted["runs"] == {"succeeded": 0, "failed": 0, "cancelled": 0}
    await until(lambda: has_slots(web, 0), within_s=20)
    assert await audit(stage.sql, await stage.calls()) == []


async def test_a_run_is_cancelled_through_the_front_door(stage: Stage, web: ServerProcess) -> None:
    async with worker(stage):
        talk = await begin(stage, web, "ends")
        async for message in web.messages(talk.run_id):
            talk.seen.append(message)
            if message["type"] == "chunk":
                answer = await web.client.post(f"/api/runs/{talk.run_id}/cancel")
                assert answer.status_code == 202
                break
        await talk.follow(web)

    assert (talk.seen[-1]["type"], talk.seen[-1]["code"]) == ("error", "cancelled")
    assert await audit(stage.sql, await stage.calls()) == []


async def test_a_reader_at_the_front_door_outlives_the_worker(stage: Stage, web: ServerProcess) -> None:
    async with worker(stage) as first:
        talk = await begin(stage, web, "stays")
        async for message in web.messages(talk.run_id):
            talk.seen.append(message)
            if message["type"] == "chunk" and first.process.returncode is None:
                await first.kill()
                break
    async with worker(stage):
        await talk.follow(web)

    assert talk.seen[-1]["type"] == "done"
    assert talk.retried == ["turn-1"]
    assert [message["seq"] for message in talk.seen] == list(range(1, len(talk.seen) + 1))
    assert await audit(stage.sql, await stage.calls()) == []


async def test_a_worker_answers_probes_and_nobody_else(stage: Stage) -> None:
    async with worker(stage) as alone:
        for path in ("/health", "/health/liveness", "/health/readiness", "/health/ready", "/metrics"):
            assert (await alone.client.get(path)).status_code == 200
        refused = [
            await alone.client.get("/api/credits"),
            await alone.client.post("/api/agent/execute", json={}),
            await alone.client.get("/api/agent/health"),
            await alone.client.get("/openapi.json"),
            await alone.client.get("/docs"),
        ]
        with pytest.raises(InvalidStatus) as closed:
            await connect(str(alone.client.base_url.copy_with(scheme="ws", path="/ws")), proxy=None)

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(404, "not_found")] * 5
    assert closed.value.response.status_code == 404
    assert "ROLE=web" in refused[0].json()["detail"]


@pytest.mark.parametrize("arguments", [("serve",), ("worker",)])
async def test_processes_that_share_the_work_need_a_database_to_share(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    code, _, err = await run_command(*arguments, DATA_DIR=str(tmp_path), ROLE="web")

    assert code == 2
    assert err.startswith("DATABASE_URL: not set")
    assert len(err.strip().splitlines()) == 1
