"""Answers of the database that are lost while a request is held and settled for: it is charged once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from heavy_agents.edge import Expiry
from tests.support.chat import ChatServer, chatting
from tests.support.forgetful import Forgetful, Loss, forgetting
from tests.support.light import ask_runtime, ledger, light_agent, money
from tests.support.server import Person, assert_problem
from tests.support.sql import talking

SETTLE = "switchyard_answers_settle"
KEY = {"idempotency-key": "order-1"}


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Forgetful]:
    async with forgetting(database_url) as relay:
        yield relay


@pytest.fixture
async def chat(relay: Forgetful) -> AsyncIterator[ChatServer]:
    async with chatting(relay.url) as chat:
        yield chat
        assert await chat.server.sql.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
async def person(chat: ChatServer) -> AsyncIterator[Person]:
    async with chat.server.person(balance=10) as somebody:
        yield somebody


@pytest.mark.parametrize("losses", [1, 3])
async def test_a_settlement_nobody_heard_of_is_an_answer_charged_once(
    chat: ChatServer, relay: Forgetful, person: Person, losses: int
) -> None:
    agent = await light_agent(chat, person.id, price={"flat": 3})
    for _ in range(losses):
        relay.forget(Loss(SETTLE))

    answer = await ask_runtime(person, agent)

    assert relay.forgotten[SETTLE] == losses
    assert (answer.status_code, answer.json()["creditsUsed"]) == (200, 3)
    assert await ledger(chat.server, person) == [("hold", 0), ("settle", -3)]


async def test_a_hold_nobody_heard_of_is_released_and_its_key_is_answered_then(
    chat: ChatServer, relay: Forgetful, person: Person, database_url: str
) -> None:
    agent = await light_agent(chat, person.id, price={"flat": 3})
    relay.forget(Loss("switchyard_credits_hold"))

    lost = await ask_runtime(person, agent, headers=KEY)
    held = await money(chat.server, person)
    again = await ask_runtime(person, agent, headers=KEY)
    async with talking(database_url, size=1) as sql:
        await Expiry(sql.database, after_s=0).release()
    called = len(chat.model.log.calls)
    later = await ask_runtime(person, agent, headers=KEY)

    assert_problem(lost, 503, "database_unavailable")
    assert "is being answered" in assert_problem(again, 422, "key_conflict")["detail"]
    assert (held, called) == ((10, 3), 0)
    assert (later.status_code, later.json()["creditsUsed"]) == (200, 3)
    assert await money(chat.server, person) == (7, 0)


@pytest.mark.parametrize(
    "function", ["switchyard_credits_settle", "switchyard_runs_submit", "switchyard_agents_get"]
)
async def test_a_run_its_caller_pays_for_is_charged_once_whatever_is_lost(
    relay: Forgetful, function: str
) -> None:
    async with chatting(relay.url, credits_owner="caller") as chat, chat.server.person(balance=10) as person:
        agent = await chat.server.agent(person.id, price={"flat": 3})
        relay.forget(Loss(function))

        first = await ask_runtime(person, agent, headers=KEY)
        again = await ask_runtime(person, agent, headers=KEY)

        assert relay.forgotten[function] == 1
        assert first.status_code in {200, 503}
        assert again.status_code == 200, again.text
        assert await ledger(chat.server, person) == [("hold", 0), ("settle", -3)]
        assert len((await person.client.get("/api/runs")).json()["runs"]) == 1
