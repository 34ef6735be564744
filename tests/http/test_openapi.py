"""That the API's description is whole and says nothing that is not so: codes, examples, real answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from foundation import errors
from foundation.errors import HeavyError
from routing.openapi.samples import FACTS, SAMPLES
from tests.support.chat import ChatServer, chatting
from tests.support.described import Described
from tests.support.explorer import Answered
from tests.support.judge import Judge
from tests.support.light import RUNTIME, ask_runtime, light_agent
from tests.support.server import METRICS_TOKEN, SERVICE_SECRET, Person, TestServer, messages

# Any: JSON documents.
Document = dict[str, Any]

EXECUTE = "/api/agent/execute"
VALIDATED = "/api/agent/execute-validated"
SERVICE = {"x-railway-secret": SERVICE_SECRET}
TREE = [
    each
    for name in errors.__all__
    if isinstance(each := getattr(errors, name), type) and issubclass(each, HeavyError)
]


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


@pytest.fixture(scope="module")
async def described(server: TestServer) -> Described:
    async with server.client() as client:
        return Described((await client.get("/openapi.json")).json())


def test_every_operation_says_all_there_is_to_say(described: Described) -> None:
    tags = {tag["name"] for tag in described.document["tags"] if tag["description"]}
    names = [operation["operationId"] for _, operation in described.operations()]

    assert len(names) == len(set(names)) >= 27
    for name, operation in described.operations():
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
            assert parameter["schema"]["examples"], (name, parameter["name"])
            assert parameter["schema"]["type"] in {"string", "integer"}, (name, parameter["name"])


def test_every_id_in_a_path_is_a_uuid(described: Described) -> None:
    for name, operation in described.operations():
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path" and parameter["name"].endswith("_id"):
                assert parameter["schema"]["format"] == "uuid", name


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_no_error_is_forgotten(described: Described, kind: type[HeavyError]) -> None:
    """A new one wants a sample, from which all else follows, and an operation or a word that it has none."""
    codes = {
        code
        for name, _ in described.operations()
        for status in described.responses(name)
        for code in described.codes(name, status)
    }
    by_code = [sample for sample in SAMPLES if sample.code == kind.code]

    assert by_code or kind.code == "internal_error"
    assert kind.code in codes or f"`{kind.code}`" in described.document["info"]["description"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.code)
def test_the_facts_of_an_error_are_those_described(sample: HeavyError) -> None:
    told = {name for kind, facts in FACTS.items() if isinstance(sample, kind) for name in facts}

    assert {re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name) for name in sample.facts()} == told


def test_every_schema_is_one(described: Described) -> None:
    for schema in described.document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_nothing_is_referred_to_that_is_not_there(described: Described) -> None:
    text = json.dumps(described.document)

    for reference in set(re.findall(r'"\$ref": "([^"]+)"', text)):
        described.resolved({"$ref": reference})


def test_every_answer_has_an_example_that_is_one(described: Described) -> None:
    for name, status, media_type, content in contents(described):
        told = [content["example"]] if "example" in content else []
        told += [each["value"] for each in content.get("examples", {}).values()]
        assert told, (name, status, media_type)
        for each in told:
            where = (name, status, media_type, each)
            if media_type == "text/event-stream":
                event = content["itemSchema"]["properties"]["data"]["contentSchema"]
                events = [event] * len(messages(each))
                found = [described.mistakes(*pair) for pair in zip(events, messages(each), strict=True)]
                assert not any(found), (where, found)
            else:
                assert described.mistakes(content["schema"], each) == [], where


def test_every_header_has_an_example_that_is_one(described: Described) -> None:
    for name, _ in described.operations():
        for status, response in described.responses(name).items():
            assert "X-Request-Id" in response["headers"], (name, status)
            for header in response["headers"].values():
                assert header["description"]
                assert described.mistakes(header["schema"], header["example"]) == [], (name, status)


def test_every_request_example_is_allowed(described: Described) -> None:
    for name, operation in described.operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for example in content["examples"].values():
                assert described.mistakes(content["schema"], example["value"]) == [], name
        for parameter in operation.get("parameters", []):
            for example in parameter["schema"]["examples"]:
                assert described.mistakes(parameter["schema"], example) == [], (name, parameter["name"])


async def test_every_request_example_is_accepted(demo_url: str) -> None:
    async with (
        chatting(demo_url) as chat,
        chat.server.person() as person,
        chat.server.client(**SERVICE) as service,
    ):
        described = Described((await person.client.get("/openapi.json")).json())
        for name, operation in described.operations():
            method, _, path = name.partition(" ")
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for title, example in content["examples"].items():
                    client = service if path == VALIDATED else person.client
                    answer = await client.request(method, path, json=example["value"])
                    assert answer.is_success, (name, title, answer.text)


async def test_every_parameter_example_is_read(described: Described, person: Person) -> None:
    """What the examples name does not exist, so it is not found; it is never called wrong."""
    for name, operation in described.operations():
        method, _, path = name.partition(" ")
        told = {
            (each["in"], each["name"]): each["schema"]["examples"][0]
            for each in operation.get("parameters", [])
        }
        if not told or "requestBody" in operation:
            continue
        query = {key: value for (where, key), value in told.items() if where == "query" and key != "before"}
        headers = {key: str(value) for (where, key), value in told.items() if where == "header"}
        for (where, key), value in told.items():
            if where == "path":
                path = path.replace("{" + key + "}", str(value))

        answer = await person.client.request(method, path, params=query, headers=headers)

        assert answer.status_code in {200, 404}, (name, answer.text)


async def test_real_answers_are_those_described(
    described: Described, server: TestServer, person: Person
) -> None:
    run = await person.ended({"chunks": ["a"], "files": {"a.txt": "x"}})
    begun = await person.client.post("/api/conversations", json={})
    made = await person.client.post("/api/keys", json={"name": "x"})
    real = {
        "run_id": run,
        "name": "a.txt",
        "conversation_id": begun.json()["conversationId"],
        "key_id": made.json()["id"],
        "agent_id": str(person.agent_id),
    }
    bodies = {
        EXECUTE: person.body(),
        RUNTIME: person.body(),
        VALIDATED: {
            "userId": str(person.id),
            "agentId": str(person.agent_id),
            "agentConfig": {"name": "a"},
            "messages": [{"role": "user", "content": "hello"}],
            "stream": False,
        },
        "/api/conversations": {"title": "y"},
        "/api/keys": {"name": "y"},
    }
    for name, operation in described.operations():
        method, _, path = name.partition(" ")
        token = METRICS_TOKEN if path.startswith("/metrics") else person.token
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        headers |= SERVICE if path == VALIDATED else {}
        body = bodies[path] if "requestBody" in operation else None

        answer = await person.client.request(method, path.format(**real), headers=headers, json=body)

        response = described.responses(name)[answer.status_code]
        assert answer.is_success, (name, answer.text)
        always = [each for each, header in response["headers"].items() if header["required"]]
        assert [each for each in always if each not in answer.headers] == [], name
        content = response.get("content", {})
        assert (
            answer.headers.get("content-type", "").partition(";")[0] in content
            or "*/*" in content
            or not content
        )
        if "application/json" in content:
            assert described.mistakes(content["application/json"]["schema"], answer.json()) == [], name


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_light_answer_is_as_described(
    chat: ChatServer, described: Described, person: Person, *, is_streamed: bool
) -> None:
    agent = await light_agent(chat, person.id)

    answer = await ask_runtime(person, agent, stream=is_streamed)

    content = described.responses(f"POST {RUNTIME}")[200]["content"]
    if is_streamed:
        event = content["text/event-stream"]["itemSchema"]["properties"]["data"]["contentSchema"]
        assert not any(described.mistakes(event, each) for each in messages(answer.text))
    else:
        schema = {"$ref": "#/components/schemas/LightAnswer"}
        assert described.mistakes(schema, answer.json()) == []
        assert described.mistakes(content["application/json"]["schema"], answer.json()) == []


async def test_a_run_that_failed_is_answered_as_described(described: Described, person: Person) -> None:
    answer = await person.execute({"fail": "as it was told"})

    response = described.responses(f"POST {EXECUTE}")[502]
    schema = response["content"]["application/problem+json"]["schema"]
    assert answer.status_code == 502
    assert described.mistakes(schema, answer.json()) == []
    assert answer.json()["code"] in described.codes(f"POST {EXECUTE}", 502)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("GET /api/runs/{run_id}/artifacts/{name}", "/api/runs/x/artifacts/a%0Ab"),
        ("GET /api/conversations/{conversation_id}", "/api/conversations/a%2Fb"),
        ("DELETE /api/keys/{key_id}", "/api/keys/a%2Fb"),
    ],
)
async def test_an_id_that_cannot_stand_in_a_path_is_answered_as_described(
    described: Described, person: Person, name: str, path: str
) -> None:
    answer = await person.client.request(name.partition(" ")[0], path)

    response = described.responses(name)[404]
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    schema = response["content"]["application/problem+json"]["schema"]
    assert described.mistakes(schema, answer.json()) == []
    assert "RateLimit" not in response["headers"]


async def test_the_schemas_are_closed(described: Described, person: Person) -> None:
    """A schema that takes everything would let every test above pass."""
    answer = (await person.client.get("/api/credits")).json()
    schema = {"$ref": "#/components/schemas/Credits"}

    assert described.mistakes(schema, {**answer, "more": 1})
    assert described.mistakes(schema, {key: answer[key] for key in answer if key != "held"})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, ""),
        ({"code": "gap"}, "has a code that is not described there"),
        ({"detail": ""}, "has no detail"),
        ({"requestId": "another"}, "is called otherwise"),
        ({"detail": "select id from switchyard.runs"}, "tells of our insides"),
        ({"detail": "the secret is s3cret"}, "tells of our insides"),
    ],
)
def test_the_judge_of_explorations_sees_what_is_wrong(
    described: Described, changes: Document, complaint: str
) -> None:
    answers = described.responses("GET /api/runs/{run_id}")[404]
    said = answers["content"]["application/problem+json"]["examples"]["run_not_found"]["value"]
    answered = Answered(
        operation="GET /api/runs/{run_id}",
        request="GET /api/runs/x",
        is_valid=False,
        status=404,
        headers={"content-type": "application/problem+json", "x-request-id": said["requestId"]},
        body=json.dumps({**said, **changes}).encode(),
    )

    found = Judge(described.document, secrets=["s3cret"])(answered)

    assert found == [] if not complaint else found[0].startswith(complaint)


def contents(described: Described) -> Iterator[tuple[str, int, str, Document]]:
    for name, _ in described.operations():
        for status, response in described.responses(name).items():
            for media_type, content in response.get("content", {}).items():
                yield name, status, media_type, content
