"""The API on the database of an app that had its tables before us."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from foundation.db import migrate
from tests.support.adopted import ADA, ANALYST, LIBRARIAN, app_before_us, guide_sql
from tests.support.chat import ChatServer, chatting
from tests.support.database import MIGRATIONS, DatabaseServer


@pytest.fixture(scope="module")
async def chat(database_server: DatabaseServer) -> AsyncIterator[ChatServer]:
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        await migrate(url, folder=MIGRATIONS)
        async with chatting(url) as chat:
            yield chat
            assert await chat.server.sql.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
async def ada(chat: ChatServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with chat.server.client(authorization=f"Bearer {chat.server.forge.token(ADA)}") as client:
        yield client


async def test_its_agents_run_as_their_rows_say(chat: ChatServer, ada: httpx2.AsyncClient) -> None:
    await chat.model.play({"reply": {"text": "Nine to five."}})
    before = (await ada.get("/api/credits")).json()

    answers = [
        await ada.post(
            "/api/agent/execute",
            json={"agentId": str(agent), "messages": [{"role": "user", "content": "When?"}]},
        )
        for agent in (LIBRARIAN, ANALYST)
    ]

    assert [(answer.status_code, answer.json()["response"]) for answer in answers] == [
        (200, "Nine to five.")
    ] * 2
    asked, plain = [each.body for each in chat.model.log.calls]
    assert asked["model"] == "google/gemini-2.5-flash"
    assert asked["temperature"] == 0.7
    assert "Nine to five." in asked["messages"][0]["content"]
    assert "Hours" not in plain["messages"][0]["content"]
    after = (await ada.get("/api/credits")).json()
    assert (before["balance"], before["plan"]) == (420, "pro")
    assert after["balance"] == 418
    assert after["usedThisMonth"] == before["usedThisMonth"] + 2


async def test_what_its_rows_leave_open_is_no(ada: httpx2.AsyncClient) -> None:
    agents = {each["id"]: each for each in (await ada.get("/api/agents")).json()["agents"]}
    keys = (await ada.get("/api/keys")).json()["keys"]

    assert (agents[str(LIBRARIAN)]["isPublished"], agents[str(LIBRARIAN)]["kind"]) == (True, "chat")
    assert (agents[str(ANALYST)]["isPublished"], agents[str(ANALYST)]["isHeavy"]) == (False, False)
    assert {each["name"]: each["isActive"] for each in keys} == {"laptop": True, "old": False}


async def test_what_its_agents_have_cost_is_told_in_whole_credits(ada: httpx2.AsyncClient) -> None:
    metrics = (await ada.get(f"/api/agent/metrics/{LIBRARIAN}")).json()

    # What the app has noted of it was 1.5.
    assert metrics["recentUsage"][-1]["creditsUsed"] == 2
    figures = [metrics["totalCredits"], *(each["creditsUsed"] for each in metrics["recentUsage"])]
    assert all(isinstance(each, int) for each in figures)
