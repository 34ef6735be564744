"""Servers that go, or are killed, in the middle of a light answer: it is told whole, or costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx2
import orjson
import pytest

from tests.support.light import RUNTIME
from tests.support.model import ModelProcess, Rule
from tests.support.process import ServerProcess, until
from tests.support.tables import Tables, connected

LIGHT = "00000000-0000-4000-a000-000000000003"
DEMO = UUID("00000000-0000-4000-a000-0000000000d0")
HANGS: Rule = {"reply": {"fault": {"kind": "hang"}}}
SLOW: Rule = {"reply": {"text": "one two three four five", "chunk_tokens": 1, "between_s": 0.2}}
KEY = {"idempotency-key": "order-1"}


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[ModelProcess]:
    async with ModelProcess.running() as model:
        yield model


@pytest.fixture
async def tables(demo_url: str) -> AsyncIterator[Tables]:
    async with connected(demo_url) as connection:
        yield Tables(connection)
        assert await connection.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
def settings(demo_url: str, tmp_path: Path, model: ModelProcess) -> dict[str, str]:
    return {
        "DATABASE_URL": demo_url,
        "DATA_DIR": str(tmp_path),
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "the-key-of-the-scripted-model",
    }


@dataclass
class Reader:
    """Reads one light answer for as long as it lasts."""

    told: list[dict[str, object]] = field(default_factory=list)

    async def read(self, server: ServerProcess) -> None:
        body = {"agentId": LIGHT, "messages": [{"role": "user", "content": "go"}], "stream": True}
        try:
            async with server.client.stream("POST", RUNTIME, json=body, headers=KEY) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        self.told.append(orjson.loads(line[5:]))
        except httpx2.TransportError:
            return

    async def has(self, events: int) -> bool:
        return len(self.told) >= events


async def closing(tables: Tables) -> list[tuple[str, int]]:
    """(kind, amount) of what was held and how it ended."""
    return [(kind, amount) for kind, amount, _ in await tables.ledger(DEMO) if kind != "opening"]


async def test_an_answer_comes_to_its_end_though_its_server_is_told_to_go(
    settings: dict[str, str], model: ModelProcess, tables: Tables
) -> None:
    await model.play(SLOW)
    reader = Reader()
    async with ServerProcess.running(**settings) as server:
        reading = asyncio.create_task(reader.read(server))
        await until(lambda: reader.has(2), within_s=30)
        code = await server.terminate(within_s=60)
        await reading

    assert code == 0
    assert (reader.told[-1]["type"], reader.told[-1]["creditsUsed"]) == ("done", 1)
    assert reader.told[-1]["response"] == "one two three four five"
    assert await closing(tables) == [("hold", 0), ("settle", -1)]


async def test_an_answer_that_does_not_end_in_time_is_told_so_and_costs_nothing(
    settings: dict[str, str], model: ModelProcess, tables: Tables
) -> None:
    await model.play(HANGS)
    reader = Reader()
    async with ServerProcess.running(**settings, DRAIN_SECONDS="4") as server:
        reading = asyncio.create_task(reader.read(server))
        await model.until_called(1)
        code = await server.terminate(within_s=60)
        await reading

    assert code == 0
    assert [each["type"] for each in reader.told] == ["started", "error"]
    assert (reader.told[-1]["code"], reader.told[-1]["creditsUsed"]) == ("draining", 0)
    assert await closing(tables) == [("hold", 0), ("release", 0)]


async def test_what_a_killed_server_held_is_released_by_the_next_one_and_never_charged(
    settings: dict[str, str], model: ModelProcess, tables: Tables
) -> None:
    await model.play(SLOW)
    reader = Reader()
    async with ServerProcess.running(**settings) as server:
        reading = asyncio.create_task(reader.read(server))
        await until(lambda: reader.has(2), within_s=30)
        await server.kill()
        await reading
    held = await closing(tables)
    await tables.age_hold(DEMO, "light:order-1", by_s=15 * 60 + 1)

    async with ServerProcess.running(**settings) as another:

        async def is_released() -> bool:
            return ("release", 0) in await closing(tables)

        await until(is_released, within_s=30)
        body = {"agentId": LIGHT, "messages": [{"role": "user", "content": "go"}]}
        again = await another.client.post(RUNTIME, json=body, headers=KEY)

    assert held == [("hold", 0)]
    assert reader.told[-1]["type"] == "chunk"
    assert (again.status_code, again.json()["response"]) == (200, "one two three four five")
    assert await closing(tables) == [("hold", 0), ("release", 0), ("hold", 0), ("settle", -1)]
