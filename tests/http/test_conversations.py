"""Conversations over HTTP: begun, filled by runs, looked up, and nobody else's to see."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest

from routing.answers import Conversation, ConversationHead
from routing.models import ConversationBody
from tests.support.server import Document, Person, TestServer, assert_problem

ROUTE = "/api/conversations"


async def begun(person: Person, **body: object) -> str:
    answer = await person.client.post(ROUTE, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["conversationId"])


async def read(person: Person, conversation: str) -> Conversation:
    answer = await person.client.get(f"{ROUTE}/{conversation}")
    assert answer.status_code == 200, answer.text
    return Conversation.model_validate_json(answer.content)


async def test_a_conversation_is_begun_and_found_where_it_is_said_to_be(person: Person) -> None:
    body = {"agentId": str(person.agent_id), "title": "  Lisbon "}

    answer = await person.client.post(ROUTE, json=body)
    found = await person.client.get(answer.headers["location"])

    head = ConversationHead.model_validate_json(answer.content)
    document = found.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ROUTE}/{head.conversation_id}"
    assert (head.agent_id, head.title) == (person.agent_id, "Lisbon")
    assert {name: document[name] for name in answer.json()} == answer.json()
    assert document["messages"] == []
    assert document["createdAt"].endswith("Z")


@pytest.mark.parametrize("body", [{}, {"title": None, "agentId": None}, {"title": "   "}])
async def test_a_conversation_needs_neither_agent_nor_title(person: Person, body: Document) -> None:
    found = await read(person, await begun(person, **body))

    assert (found.agent_id, found.title, found.messages) == (None, None, [])


async def test_runs_fill_the_conversation_they_name(person: Person) -> None:
    conversation = await begun(person)

    first = await person.execute({"chunks": ["Hello ", "you"]}, conversationId=conversation)
    whole = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hello you"},
        {"role": "user", "content": "and now?"},
    ]
    second = await person.execute({"chunks": ["Now this"]}, conversationId=conversation, messages=whole)

    found = await read(person, conversation)
    runs = [UUID(answer.json()["runId"]) for answer in (first, second)]
    assert [(turn.role, turn.content, turn.run_id) for turn in found.messages] == [
        ("user", "hello", runs[0]),
        ("assistant", "Hello you", runs[0]),
        ("user", "and now?", runs[1]),
        ("assistant", "Now this", runs[1]),
    ]
    assert found.title == "hello"
    assert found.updated_at > found.created_at


async def test_a_run_in_somebody_elses_conversation_is_refused_and_leaves_nothing(
    server: TestServer, person: Person
) -> None:
    async with server.person() as other:
        foreign = await begun(other)
        before = await server.counts()

        for conversation in (foreign, str(uuid4())):
            answer = await person.execute(conversationId=conversation)
            assert_problem(answer, 404, "conversation_not_found")

        assert await server.counts() == before
        assert (await read(other, foreign)).messages == []
    assert (await person.client.get("/api/credits")).json()["held"] == 0


async def test_a_conversation_of_somebody_else_reads_as_unknown(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        foreign = await begun(other)

    answers = [
        await person.client.get(f"{ROUTE}/{each}")
        for each in (foreign, uuid4(), "no-conversation", "{00000000-0000-4000-a000-000000000001}")
    ]

    documents = [{**assert_problem(each, 404, "conversation_not_found"), "requestId": ""} for each in answers]
    assert all(document == documents[0] for document in documents)


async def test_an_agent_that_is_not_ones_own_to_run_begins_nothing(
    server: TestServer, person: Person
) -> None:
    async with server.person() as other:
        for agent in (other.agent_id, uuid4()):
            answer = await person.client.post(ROUTE, json={"agentId": str(agent)})
            assert_problem(answer, 404, "agent_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"title": 7}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"agentId": "no-uuid"}, "agentId"),
        ({"agent_id": "00000000-0000-4000-a000-000000000001"}, "agent_id"),
        ({"titel": "Lisbon"}, "titel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named(person: Person, body: Document, field: str) -> None:
    problem = assert_problem(await person.client.post(ROUTE, json=body), 422, "invalid_body")

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_title_may_be_two_hundred_characters_long(person: Person) -> None:
    title = "ß" * 200

    assert (await read(person, await begun(person, title=title))).title == title


async def test_only_a_known_caller_has_conversations(server: TestServer) -> None:
    async with server.client() as stranger:
        answers = [await stranger.post(ROUTE, json={}), await stranger.get(f"{ROUTE}/{uuid4()}")]

    for answer in answers:
        assert_problem(answer, 401, "invalid_token")


async def test_a_caller_whose_user_is_gone_begins_nothing(server: TestServer) -> None:
    token = server.forge.token(uuid4())

    async with server.client(authorization=f"Bearer {token}") as nobody:
        answer = await nobody.post(ROUTE, json={})

    assert_problem(answer, 400, "invalid_request")


async def test_the_description_tells_the_body_its_limits_and_an_example_that_holds(
    server: TestServer,
) -> None:
    async with server.client() as client:
        described = (await client.get("/openapi.json")).json()

    begin = described["paths"][ROUTE]["post"]
    content = begin["requestBody"]["content"]["application/json"]
    schema = described["components"]["schemas"]["ConversationBody"]
    assert content["schema"] == {"$ref": "#/components/schemas/ConversationBody"}
    assert set(schema["properties"]) == {"agentId", "title"}
    assert '"maxLength": 200' in json.dumps(schema)
    assert ConversationBody.model_validate(content["examples"]["withAnAgent"]["value"]).title
    assert {"201", "404", "408", "413", "415", "422"} <= set(begin["responses"])
    assert {"200", "404"} <= set(described["paths"][f"{ROUTE}/{{conversation_id}}"]["get"]["responses"])
