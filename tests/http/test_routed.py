"""Where `/functions/v1/agent-runtime` sends a request, what is heard first, what is counted."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.support.chat import ChatServer, chatting
from tests.support.light import RUNTIME, add_function, ask_runtime, ledger, light_agent, money
from tests.support.minutes import until_a_minute_lasts
from tests.support.server import SERVICE_SECRET, Person, TestServer, assert_problem, messages

REPLY = {"response": "From nine to five."}


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


async def test_a_heavy_agent_becomes_a_run(server: TestServer, person: Person) -> None:
    headers = {"idempotency-key": "order-1"}
    answer = await ask_runtime(person, person.agent_id, headers=headers)
    again = await ask_runtime(person, person.agent_id, headers=headers)
    executed = await person.client.post(
        "/api/agent/execute",
        json={"agentId": str(person.agent_id), "messages": [{"role": "user", "content": "hello"}]},
        headers=headers,
    )

    run_id = answer.json()["runId"]
    assert answer.headers["location"] == f"/api/runs/{run_id}"
    assert (again.json(), executed.json()) == (answer.json(), answer.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert await ledger(server, person) == [("hold", 0), ("settle", -1)]


async def test_a_heavy_agents_run_is_streamed_or_followed_as_any_other(person: Person) -> None:
    streamed = messages((await ask_runtime(person, person.agent_id, stream=True)).text)
    accepted = await ask_runtime(person, person.agent_id, headers={"prefer": "respond-async"})

    run_id = streamed[0]["runId"]
    assert [each["type"] for each in streamed][-1] == "done"
    assert (await person.client.get(f"/api/runs/{run_id}")).json()["status"] == "succeeded"
    assert accepted.status_code == 202
    assert accepted.json()["eventsUrl"].startswith("/api/runs/")


async def test_an_edge_function_may_ask_for_its_user(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    headers = {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)}

    async with chat.server.client(**headers) as edge:
        body = {"agentId": str(agent), "messages": [{"role": "user", "content": "hello"}]}
        answer = await edge.post(RUNTIME, json=body)

    assert answer.status_code == 200, answer.text
    assert await money(chat.server, person) == (999, 0)


async def test_a_server_that_executes_no_runs_answers_light_agents(database_url: str) -> None:
    async with chatting(database_url, role="web") as chat, chat.server.person() as person:
        agent = await light_agent(chat, person.id)

        light = await ask_runtime(person, agent)
        heavy = await ask_runtime(person, person.agent_id, headers={"prefer": "respond-async"})

    assert (light.status_code, heavy.status_code, heavy.json()["status"]) == (200, 202, "queued")


async def test_what_is_wrong_first_is_what_is_heard(chat: ChatServer, server: TestServer) -> None:
    async with server.person(balance=0, plan="free") as poor, server.person(plan="free") as busy:
        agent = await light_agent(chat, busy.id)
        await add_function(server, agent, "conditional", REPLY, keyword="hello")
        await until_a_minute_lasts()
        for _ in range(5):
            assert (await ask_runtime(busy, agent)).status_code == 200
        async with server.client() as nobody:
            unreadable = await nobody.post(
                RUNTIME, content=b"{", headers={"content-type": "application/json"}
            )
            unproved = await nobody.post(RUNTIME, json={"agentId": str(uuid4()), "messages": []})
        no_credits, over_limit = await ask_runtime(poor, uuid4()), await ask_runtime(busy, uuid4())

    assert_problem(unreadable, 400, "invalid_request")
    assert_problem(unproved, 401, "invalid_token")
    assert_problem(no_credits, 402, "insufficient_credits")
    assert int(assert_problem(over_limit, 429, "rate_limited")["retryAfter"]) >= 1
    assert over_limit.headers["retry-after"]


async def test_a_large_body_of_a_stranger_is_not_read(server: TestServer) -> None:
    body = {"agentId": "no id", "messages": [{"role": "user", "content": "x" * 300_000}]}
    async with server.client() as nobody:
        answer = await nobody.post(RUNTIME, json=body)

    assert_problem(answer, 401, "invalid_token")
    assert answer.headers["connection"] == "close"


async def test_each_request_counts_once_against_the_plan(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)

    await ask_runtime(person, agent)
    await ask_runtime(person, person.agent_id)
    assert_problem(await ask_runtime(person, uuid4()), 404, "agent_not_found")

    assert await _counted(chat.server, person) == 3


async def test_what_credits_refuse_counts_for_nothing(chat: ChatServer) -> None:
    async with chat.server.person(balance=0) as poor:
        agent = await light_agent(chat, poor.id)

        refused = assert_problem(await ask_runtime(poor, agent), 402, "insufficient_credits")

        assert (refused["needed"], refused["available"]) == (1, 0)
        assert await _counted(chat.server, poor) == 0


async def test_an_agent_that_is_free_needs_no_credits(chat: ChatServer) -> None:
    async with chat.server.person(balance=0) as poor:
        agent = await light_agent(chat, poor.id, price={"flat": 0})

        answer = await ask_runtime(poor, agent)

        assert (answer.status_code, answer.json()["creditsUsed"]) == (200, 0)
        assert await ledger(chat.server, poor) == []


async def test_what_an_answer_may_cost_has_to_be_there(chat: ChatServer) -> None:
    async with chat.server.person(balance=4) as poor:
        agent = await light_agent(chat, poor.id, price={"flat": 5})

        refused = assert_problem(await ask_runtime(poor, agent), 402, "insufficient_credits")

        assert (refused["needed"], refused["available"]) == (5, 4)


async def test_somebody_elses_agent_is_asked_if_it_is_published(chat: ChatServer, person: Person) -> None:
    async with chat.server.person() as owner:
        hidden = await light_agent(chat, owner.id)
        shown = await light_agent(chat, owner.id, is_published=True)

        assert_problem(await ask_runtime(person, hidden), 404, "agent_not_found")
        assert (await ask_runtime(person, shown)).status_code == 200
    assert await money(chat.server, person) == (999, 0)


async def test_only_a_chat_is_answered_without_a_run(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id, kind="forecast")

    refused = await ask_runtime(person, agent)

    assert "is_heavy" in assert_problem(refused, 503, "not_configured")["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"conversationId": str(UUID(int=7))}, "conversationId"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 600_000}]}, "messages"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_a_light_agent_cannot_take_is_refused_by_its_field(
    chat: ChatServer, person: Person, changes: dict[str, object], field: str
) -> None:
    agent = await light_agent(chat, person.id)

    refused = await person.client.post(RUNTIME, json=person.body() | {"agentId": str(agent)} | changes)

    assert [each["field"] for each in assert_problem(refused, 422, "invalid_body")["errors"]] == [field]
    assert await ledger(chat.server, person) == []


async def test_what_older_front_ends_send_is_taken(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)

    answer = await ask_runtime(
        person,
        agent,
        userId=str(uuid4()),
        agentConfig={"system_prompt": "x"},
        functionResults=[],
        input={"a": 1},
        metadata={"page": "home"},
    )

    assert answer.status_code == 200, answer.text
    assert await money(chat.server, person) == (999, 0)


async def _counted(server: TestServer, person: Person) -> int:
    used: int = await server.sql.fetchval(
        "select coalesce(max(used), 0) from switchyard.rate_windows where user_id = $1 and window_s = 3600",
        person.id,
    )
    return used
