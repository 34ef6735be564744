"""What an edge function may start on a user's behalf: an agent it sends along, for nobody but that user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest

from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.server import (
    SERVICE_SECRET,
    Document,
    Person,
    TestServer,
    assert_problem,
    messages,
)

PATH = "/api/agent/execute-validated"
AGENT = "00000000-0000-4000-a000-00000000cafe"  # has no row
CONFIG: Document = {
    "name": "Concierge",
    "system_prompt": "You answer in one sentence.",
    "ai_model": "own/model",
    "temperature": 0.5,
    "max_tokens": 200,
    "knowledge_base": [{"title": "Hours", "content": "Nine to five.", "id": 7}],
}


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


@pytest.fixture
async def edge(server: TestServer) -> AsyncIterator[httpx2.AsyncClient]:
    """The edge function, which has the service secret."""
    async with server.client(**{"x-railway-secret": SERVICE_SECRET}) as client:
        yield client


def body(user_id: UUID, config: Document | None = None, **changes: object) -> Document:
    asked: Document = {
        "userId": str(user_id),
        "agentId": AGENT,
        "agentConfig": CONFIG | (config or {}),
        "messages": [{"role": "user", "content": "When are you open?"}],
    }
    return asked | changes


async def test_the_agent_that_is_sent_along_answers_as_a_stream(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    await chat.model.play({"reply": {"text": "Nine to five."}})

    told = messages((await edge.post(PATH, json=body(person.id))).text)

    (call,) = chat.model.log.calls
    assert (call.body["model"], call.body["temperature"], call.body["max_tokens"]) == ("own/model", 0.5, 200)
    assert call.body["messages"][0]["content"].startswith("You answer in one sentence.")
    assert "Nine to five." in orjson.dumps(call.body["messages"]).decode()
    assert (told[0]["type"], told[0]["agentId"]) == ("started", AGENT)
    assert (told[-1]["response"], told[-1]["creditsUsed"]) == ("Nine to five.", 1)


async def test_the_run_is_the_users_own(edge: httpx2.AsyncClient, person: Person) -> None:
    answer = await edge.post(PATH, json=body(person.id, stream=False))

    run = (await person.client.get(answer.headers["location"])).json()
    assert (run["runId"], run["agentId"], run["agentName"]) == (answer.json()["runId"], AGENT, "Concierge")
    assert (run["kind"], run["status"]) == ("chat", "succeeded")
    assert (await person.client.get("/api/credits")).json()["balance"] == 999


async def test_it_is_answered_at_once_where_that_is_preferred(
    edge: httpx2.AsyncClient, person: Person
) -> None:
    answer = await edge.post(PATH, json=body(person.id), headers={"Prefer": "respond-async"})

    assert answer.status_code == 202
    events = await person.client.get(answer.json()["eventsUrl"])
    assert messages(events.text)[-1]["type"] == "done"


async def test_the_least_configuration_is_a_name(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    await chat.model.play()

    answer = await edge.post(PATH, json=body(person.id, agentConfig={"name": "A"}, stream=False))

    assert answer.status_code == 200
    assert [each["role"] for each in chat.model.log.calls[0].body["messages"]] == ["user"]


async def test_a_whole_number_may_be_written_as_a_fraction(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    await chat.model.play()

    answer = await edge.post(PATH, json=body(person.id, {"max_tokens": 100.0}, stream=False))

    assert answer.status_code == 200
    assert chat.model.log.calls[0].body["max_tokens"] == 100


async def test_the_price_is_that_of_the_row_where_there_is_one(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    agent = await chat.agent(person.id, price={"flat": 7})

    answer = await edge.post(PATH, json=body(person.id, agentId=str(agent), stream=False))

    assert answer.json()["creditsUsed"] == 7


async def test_an_agent_of_somebody_else_may_be_sent_along(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    async with chat.server.person() as other:
        agent = await chat.agent(other.id)

        answer = await edge.post(PATH, json=body(person.id, agentId=str(agent), stream=False))

    assert answer.status_code == 200


async def test_one_key_is_one_run_until_the_configuration_changes(
    edge: httpx2.AsyncClient, person: Person
) -> None:
    key = {"Idempotency-Key": "validated-1"}

    first = await edge.post(PATH, json=body(person.id, stream=False), headers=key)
    again = await edge.post(PATH, json=body(person.id, stream=False), headers=key)
    other = await edge.post(PATH, json=body(person.id, {"temperature": 0.6}, stream=False), headers=key)

    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert_problem(other, 422, "key_conflict")
    assert (await person.client.get("/api/credits")).json()["balance"] == 999


async def test_without_credits_nothing_is_written(server: TestServer, edge: httpx2.AsyncClient) -> None:
    async with server.person(balance=0) as poor:
        before = await server.counts()
        refused = await edge.post(PATH, json=body(poor.id))

    assert_problem(refused, 402, "insufficient_credits")
    assert await server.counts() == before


async def test_where_the_caller_charges_nothing_is_held(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with (
        chatting(url, credits_owner="caller") as chat,
        chat.server.person(balance=0) as poor,
        chat.server.client(**{"x-railway-secret": SERVICE_SECRET}) as edge,
    ):
        answer = await edge.post(PATH, json=body(poor.id, stream=False))
        noted = await chat.server.sql.fetch("select agent_id::text, credits_used from public.credit_usage")

    assert answer.status_code == 200
    assert [dict(each) for each in noted] == [{"agent_id": AGENT, "credits_used": 1}]
    await drop(database_server, url)


async def test_only_the_service_may_call(server: TestServer, person: Person) -> None:
    key = (await person.client.post("/api/keys", json={"name": "k"})).json()["key"]
    before = await server.counts()

    async with server.client() as stranger, server.client(**{"x-api-key": key}) as program:
        as_user = await person.client.post(PATH, json=body(person.id))
        as_program = await program.post(PATH, json=body(person.id))
        as_nobody = await stranger.post(PATH, json=body(person.id))
        with_wrong_secret = await stranger.post(
            PATH, json=body(person.id), headers={"x-railway-secret": "0" * 40}
        )
        with_bad_token = await stranger.post(
            PATH, json=body(person.id), headers={"Authorization": "Bearer a.b.c"}
        )

    assert_problem(as_user, 403, "wrong_caller")
    assert_problem(as_program, 403, "wrong_caller")
    for refused in (as_nobody, with_wrong_secret, with_bad_token):
        assert_problem(refused, 401, "invalid_token")
    assert await server.counts() == before


async def test_the_secret_is_looked_at_before_the_body(server: TestServer) -> None:
    async with server.client() as stranger:
        refused = await stranger.post(PATH, content=b"{" * 100_000)

    assert_problem(refused, 401, "invalid_token")
    assert refused.headers["connection"] == "close"


async def test_a_header_that_names_another_user_is_refused(
    edge: httpx2.AsyncClient, server: TestServer, person: Person
) -> None:
    token = {"Authorization": f"Bearer {server.forge.token(uuid4())}"}

    by_id = await edge.post(PATH, json=body(person.id), headers={"x-user-id": str(uuid4())})
    by_token = await edge.post(PATH, json=body(person.id), headers=token)
    agreeing = await edge.post(
        PATH, json=body(person.id, stream=False), headers={"x-user-id": str(person.id)}
    )

    assert_problem(by_id, 400, "conflicting_credentials")
    assert_problem(by_token, 400, "conflicting_credentials")
    assert agreeing.status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"userId": "x"}, "userId"),
        ({"agentId": "x"}, "agentId"),
        ({"agentConfig": None}, "agentConfig"),
        ({"agentConfig": {}}, "agentConfig.name"),
        ({"agentConfig": {"name": ""}}, "agentConfig.name"),
        ({"agentConfig": {"name": "A", "colour": "red"}}, "agentConfig.colour"),
        ({"agentConfig": {"name": "A", "temperature": 1.1}}, "agentConfig.temperature"),
        ({"agentConfig": {"name": "A", "temperature": "0.5"}}, "agentConfig.temperature"),
        ({"agentConfig": {"name": "A", "max_tokens": 99}}, "agentConfig.max_tokens"),
        ({"agentConfig": {"name": "A", "max_tokens": 100.5}}, "agentConfig.max_tokens"),
        ({"agentConfig": {"name": "A", "max_tokens": "100"}}, "agentConfig.max_tokens"),
        ({"agentConfig": {"name": "A", "max_tokens": 4001}}, "agentConfig.max_tokens"),
        ({"agentConfig": {"name": "A", "knowledge_base": {}}}, "agentConfig.knowledge_base"),
        ({"agentConfig": {"name": "A", "knowledge_base": [{}]}}, "agentConfig.knowledge_base[0].content"),
        ({"agentConfig": {"name": "A", "system_prompt": "\0"}}, "agentConfig.system_prompt"),
        ({"agentConfig": {"name": "A", "system_prompt": "ü" * 600_000}}, "agentConfig"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"input": {}}, "input"),
        ({"stream": "yes"}, "stream"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named_and_nothing_is_written(
    server: TestServer, edge: httpx2.AsyncClient, person: Person, changes: Document, field: str
) -> None:
    before = await server.counts()

    refused = await edge.post(PATH, json=body(person.id) | changes)

    problem = assert_problem(refused, 422, "invalid_body")
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await server.counts() == before


async def test_a_model_that_fails_is_an_error_of_the_run(
    chat: ChatServer, edge: httpx2.AsyncClient, person: Person
) -> None:
    await chat.model.play({"reply": {"fault": {"kind": "status", "status": 401}}})

    told = messages((await edge.post(PATH, json=body(person.id))).text)

    assert told[-1]["type"] == "error"
    assert (await person.client.get("/api/credits")).json()["balance"] == 1000
