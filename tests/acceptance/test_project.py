"""Servers that are given a project and its secret key, and no connection string: they promise the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.audit import audit
from tests.support.bill import billed_wrongly
from tests.support.doors import project_of
from tests.support.gateway import KEYS_PATH, Gateway
from tests.support.process import DEMO_USER, PROGRAM, ServerProcess, until
from tests.support.stage import ANSWER, OPENING, PRICE, Stage, Talk, open_stage
from tests.support.tokens import TokenForge
from tests.support.transcript import seen_wrongly, transcript

LIMIT_S = 60.0


@dataclass(frozen=True)
class House:
    """A stage whose servers know of its database only as a project."""

    stage: Stage
    project: Gateway
    forge: TokenForge
    log_file: Path

    @asynccontextmanager
    async def server(self) -> AsyncIterator[ServerProcess]:
        async with ServerProcess.of(self.stage.settings, program=PROGRAM, log_file=self.log_file) as server:
            server.client.headers["authorization"] = f"Bearer {self.forge.token(DEMO_USER)}"
            yield server

    async def begin(self, server: ServerProcess, *names: str) -> list[Talk]:
        talks = [Talk(name) for name in names]
        await self.stage.prepare(talks)
        for talk in talks:
            talk.run_id = await self.stage.submit(server, talk.name)
        return talks

    async def credits(self, server: ServerProcess) -> tuple[int, int]:
        """Balance and held."""
        account = await server.get("/api/credits")
        return account["balance"], account["held"]

    async def audit(self) -> list[str]:
        return await audit(self.stage.sql, await self.stage.calls())


@pytest.fixture
async def house(demo_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_stage(demo_url, tmp_path) as stage, project_of(demo_url) as project:
        forge = TokenForge(issuer=f"{project.url}/auth/v1")
        project.documents[KEYS_PATH] = forge.jwks()
        kept = {name: value for name, value in stage.settings.items() if name != "DATABASE_URL"}
        settings = {
            **kept,
            "SUPABASE_URL": project.url,
            "SUPABASE_SECRET_KEY": project.key,
            "LOG_LEVEL": "debug",
        }
        yield House(replace(stage, settings=settings), project, forge, tmp_path / "log")


async def until_in_answer(talk: Talk, server: ServerProcess) -> None:
    """Read until the newest that was seen is text of the answer."""
    async for message in server.messages(talk.run_id):
        talk.seen.append(message)
        if message["type"] == "chunk" and message.get("step") == "turn-2":
            return


async def readiness(server: ServerProcess) -> tuple[int, dict[str, Any]]:
    answer = await server.client.get("/health/readiness")
    document: dict[str, Any] = answer.json()
    return answer.status_code, document


async def check_bought_and_seen_once(talk: Talk, server: ServerProcess) -> None:
    again = [message async for message in server.messages(talk.run_id)]
    assert seen_wrongly(talk.seen, again) == []
    assert transcript(talk.seen) == OPENING + ANSWER
    assert billed_wrongly(await server.get(f"/api/runs/{talk.run_id}/receipt"), price=PRICE) == []


async def test_a_run_goes_its_way_and_one_is_cancelled_though_nobody_can_listen(house: House) -> None:
    async with house.server() as server:
        before, _ = await house.credits(server)
        goes, ends = await house.begin(server, "goes", "ends")
        await until_in_answer(ends, server)
        cancelled = await server.client.post(f"/api/runs/{ends.run_id}/cancel")
        await asyncio.gather(goes.follow(server), ends.follow(server))
        after, held = await house.credits(server)
        charged = [(await server.get(f"/api/runs/{talk.run_id}"))["creditsUsed"] for talk in (goes, ends)]
        await check_bought_and_seen_once(goes, server)

    assert cancelled.status_code == httpx2.codes.ACCEPTED
    assert (ends.seen[-1]["type"], ends.seen[-1]["code"]) == ("error", "cancelled")
    assert (before - after, held) == (sum(charged), 0)
    assert await house.audit() == []
    assert house.project.key not in house.log_file.read_text()


async def test_a_run_whose_server_was_killed_goes_on_in_another_and_is_settled_once(house: House) -> None:
    async with house.server() as second:
        async with house.server() as first:
            (talk,) = await house.begin(first, "stays")
            await until_in_answer(talk, first)
            await first.kill()
        await talk.follow(second)
        await check_bought_and_seen_once(talk, second)
        _, held = await house.credits(second)

    assert talk.retried == ["turn-2"]
    assert held == 0
    assert await house.audit() == []


async def test_a_project_that_goes_away_is_told_by_readiness_and_costs_a_run_nothing(house: House) -> None:
    async with house.server() as server:
        (talk,) = await house.begin(server, "holds")
        await until_in_answer(talk, server)
        await house.project.postgrest.kill()

        async def is_told() -> bool:
            return (await readiness(server))[0] == httpx2.codes.SERVICE_UNAVAILABLE

        await until(is_told, within_s=LIMIT_S)
        _, told = await readiness(server)
        refused = await server.client.get("/api/credits")
        await house.project.postgrest.start()
        await until(server.is_ready, within_s=LIMIT_S)
        async with asyncio.timeout(LIMIT_S):
            while not talk.is_over:
                await talk.follow(server)
        await check_bought_and_seen_once(talk, server)

    assert told["checks"]["database"] == "the database did not answer; try again"
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert talk.seen[-1]["type"] == "done"
    assert await house.audit() == []
