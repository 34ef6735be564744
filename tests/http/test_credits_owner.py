"""Who charges: in all three settings, by every door, and never twice though edge and backend are both live.

The edge function is there by the SQL functions it calls: it holds and settles under the same keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from foundation.settings import CreditsOwner
from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.light import ask_runtime, ledger, light_agent, money
from tests.support.server import SERVICE_SECRET, Document, Person, assert_problem

PRICE: Document = {"flat": 3}
PAID = [("hold", 0), ("settle", -3)]
EXECUTE = "/api/agent/execute"
KEY = {"idempotency-key": "order-1"}


@pytest.fixture(scope="module", params=list(CreditsOwner), ids=lambda owner: owner.value)
async def owner(request: pytest.FixtureRequest) -> CreditsOwner:
    found: CreditsOwner = request.param
    return found


@pytest.fixture(scope="module")
async def chat(database_server: DatabaseServer, owner: CreditsOwner) -> AsyncIterator[ChatServer]:
    url = await fresh_database(database_server)
    async with chatting(url, credits_owner=owner.value) as running:
        yield running
        assert await running.server.sql.fetchval("select public.switchyard_audit()") == []
    await drop(database_server, url)


@pytest.fixture
async def person(chat: ChatServer) -> AsyncIterator[Person]:
    async with chat.server.person(balance=10) as somebody:
        yield somebody


async def heavy(chat: ChatServer, person: Person) -> UUID:
    return await chat.server.agent(person.id, price=PRICE)


async def test_a_light_answer_is_charged_unless_nobody_charges(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await light_agent(chat, person.id, price=PRICE)

    answer = await ask_runtime(person, agent, headers=KEY)
    again = await ask_runtime(person, agent, headers=KEY)

    is_charged = owner is not CreditsOwner.OFF
    assert answer.json()["creditsUsed"] == (3 if is_charged else 0)
    assert again.status_code == (422 if is_charged else 200)
    assert await ledger(chat.server, person) == (PAID if is_charged else [])


async def test_a_run_that_is_executed_is_charged_by_the_backend_alone(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    body = person.body() | {"agentId": str(await heavy(chat, person))}

    for _ in range(2):
        answer = await person.client.post(EXECUTE, json=body, headers=KEY)
        assert answer.status_code == 200, answer.text

    assert await ledger(chat.server, person) == (PAID if owner is CreditsOwner.BACKEND else [])


async def test_a_run_an_edge_function_sends_along_is_charged_by_the_backend_alone(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    body: Document = {
        "userId": str(person.id),
        "agentId": str(await light_agent(chat, person.id, price=PRICE)),
        "agentConfig": {"name": "Sent along"},
        "messages": [{"role": "user", "content": "hello"}],
        "stream": False,
    }

    async with chat.server.client(**{"x-railway-secret": SERVICE_SECRET}) as edge:
        for _ in range(2):
            answer = await edge.post(f"{EXECUTE}-validated", json=body, headers=KEY)
            assert answer.status_code == 200, answer.text

    assert await ledger(chat.server, person) == (PAID if owner is CreditsOwner.BACKEND else [])


@pytest.mark.parametrize("said", list(CreditsOwner))
async def test_a_run_is_refused_that_an_edge_function_charges_for_in_another_way(
    chat: ChatServer, owner: CreditsOwner, person: Person, said: CreditsOwner
) -> None:
    agent = str(await heavy(chat, person))
    headers = {"x-credits-owner": said.value}
    sent_along = {
        "userId": str(person.id),
        "agentId": agent,
        "agentConfig": {"name": "Sent along"},
        "messages": [{"role": "user", "content": "hello"}],
    }

    answers = [await person.client.post(EXECUTE, json=person.body() | {"agentId": agent}, headers=headers)]
    async with chat.server.client(**{"x-railway-secret": SERVICE_SECRET}) as edge:
        answers.append(await edge.post(f"{EXECUTE}-validated", json=sent_along, headers=headers))

    for answer in answers:
        if said is owner:
            assert answer.status_code == 200, answer.text
        else:
            problem = assert_problem(answer, 503, "not_configured")
            assert problem["detail"] == (
                f"CREDITS_OWNER is {said.value} at the edge function and {owner.value} here; set both alike"
            )
    runs = await chat.server.sql.fetchval(
        "select count(*) from switchyard.runs where user_id = $1", person.id
    )
    assert runs == (2 if said is owner else 0)


@pytest.mark.parametrize("said", [["Backend"], [""], ["backend", "backend"]])
async def test_what_no_owner_can_be_called_is_refused(
    chat: ChatServer, person: Person, said: list[str]
) -> None:
    headers = [("x-credits-owner", value) for value in said]

    answer = await person.client.post(EXECUTE, json=person.body(), headers=headers)

    assert "X-Credits-Owner" in assert_problem(answer, 400, "invalid_request")["detail"]


async def test_a_run_by_the_edges_own_contract_is_charged_once(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await heavy(chat, person)

    answers = await asyncio.gather(*(ask_runtime(person, agent, headers=KEY) for _ in range(5)))

    assert len({answer.json()["runId"] for answer in answers}) == 1
    assert await ledger(chat.server, person) == ([] if owner is CreditsOwner.OFF else PAID)


async def test_a_key_the_edge_has_answered_is_not_answered_here(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await light_agent(chat, person.id, price=PRICE)
    await _edge(chat, person, "hold", key="light:order-1", amount=3)
    await _edge(chat, person, "settle", key="light:order-1", amount=3)

    answer = await ask_runtime(person, agent, headers=KEY)

    if owner is CreditsOwner.OFF:
        assert answer.status_code == 200
    else:
        assert_problem(answer, 422, "key_conflict")
    assert await ledger(chat.server, person) == PAID


@pytest.mark.parametrize("is_settled", [True, False])
async def test_a_run_the_edge_has_paid_for_or_held_for_is_not_paid_for_here_again(
    chat: ChatServer, owner: CreditsOwner, person: Person, *, is_settled: bool
) -> None:
    agent = await heavy(chat, person)
    if owner is CreditsOwner.CALLER:
        await _edge(chat, person, "hold", key="heavy:1:order-1", amount=3)
        if is_settled:
            body = person.body(agentId=str(agent))
            await person.client.post(EXECUTE, json=body, headers=KEY)
            await _edge(chat, person, "settle", key="heavy:1:order-1", amount=3)

    answer = await ask_runtime(person, agent, headers=KEY)

    assert answer.status_code == 200, answer.text
    assert await ledger(chat.server, person) == ([] if owner is CreditsOwner.OFF else PAID)


async def test_a_key_that_paid_for_an_answer_pays_for_no_run(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    light, run = await light_agent(chat, person.id, price=PRICE), await heavy(chat, person)

    await ask_runtime(person, light, headers=KEY)
    await ask_runtime(person, run, headers=KEY)

    assert await money(chat.server, person) == ((10, 0) if owner is CreditsOwner.OFF else (4, 0))


async def test_a_run_that_is_refused_is_not_charged_and_asked_again_it_is(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await chat.agent(person.id, price=PRICE)  # a chat, which wants to be asked something
    refused = await ask_runtime(person, agent, " ", headers=KEY)

    after = await money(chat.server, person)
    answer = await ask_runtime(person, agent, "hello", headers=KEY)
    again = await ask_runtime(person, agent, "hello", headers=KEY)

    assert_problem(refused, 422, "invalid_body")
    assert after == (10, 0)
    assert again.json() == answer.json()
    assert await money(chat.server, person) == ((10, 0) if owner is CreditsOwner.OFF else (7, 0))


@pytest.mark.parametrize("later", [{"flat": 5}, {"flat": 2}, {"flat": 0}])
async def test_a_key_is_joined_and_charged_as_it_was_though_the_price_has_changed(
    chat: ChatServer, owner: CreditsOwner, person: Person, later: Document
) -> None:
    agent = await heavy(chat, person)
    first = await ask_runtime(person, agent, headers=KEY)
    await chat.server.sql.execute("update public.agents set price = $2 where id = $1", agent, later)

    again = await ask_runtime(person, agent, headers=KEY)

    assert again.json() == first.json()
    assert await ledger(chat.server, person) == ([] if owner is CreditsOwner.OFF else PAID)


async def test_a_key_that_is_not_known_any_more_begins_another_run_which_is_charged_too(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await heavy(chat, person)
    first = await ask_runtime(person, agent, headers=KEY)
    # As after 90 days.
    await chat.server.sql.execute("delete from switchyard.request_keys where user_id = $1", person.id)

    answers = [await ask_runtime(person, agent, headers=KEY) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() != first.json()
    assert await ledger(chat.server, person) == ([] if owner is CreditsOwner.OFF else PAID * 2)


async def test_a_light_answer_that_failed_is_given_at_the_price_of_the_next_try(
    chat: ChatServer, owner: CreditsOwner, person: Person
) -> None:
    agent = await light_agent(chat, person.id, price=PRICE)
    await chat.model.play({"reply": {"fault": {"kind": "status", "status": 400}}})
    failed = await ask_runtime(person, agent, headers=KEY)
    await chat.model.play()
    await chat.server.sql.execute("update public.agents set price = $2 where id = $1", agent, {"flat": 5})

    answer = await ask_runtime(person, agent, headers=KEY)

    assert_problem(failed, 503, "model_unavailable")
    assert answer.json()["creditsUsed"] == (0 if owner is CreditsOwner.OFF else 5)
    assert await money(chat.server, person) == (10 if owner is CreditsOwner.OFF else 5, 0)


async def test_whoever_cannot_pay_is_refused_where_somebody_charges(
    chat: ChatServer, owner: CreditsOwner
) -> None:
    async with chat.server.person(balance=2) as poor:
        agents = (await light_agent(chat, poor.id, price=PRICE), await heavy(chat, poor))
        answers = [await ask_runtime(poor, agent) for agent in agents]

        for answer in answers:
            if owner is CreditsOwner.OFF:
                assert answer.status_code == 200
            else:
                refused = assert_problem(answer, 402, "insufficient_credits")
                assert (refused["needed"], refused["available"]) == (3, 2)
        assert await ledger(chat.server, poor) == []


async def _edge(chat: ChatServer, person: Person, what: str, *, key: str, amount: int) -> None:
    """What the edge function does with the account."""
    query = f"select public.switchyard_credits_{what}(p_user_id => $1, p_key => $2, p_credits => $3)"
    await chat.server.sql.fetchval(query, person.id, key, amount)
