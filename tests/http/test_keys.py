"""API keys over HTTP: made once, shown once, and then as good as their owner until they are revoked."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from structlog.testing import capture_logs

from foundation.identity.api_key import fresh_key
from routing.answers import Keys, MadeKey
from routing.models import KeyBody
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.server import (
    ORIGIN,
    SERVICE_SECRET,
    Document,
    Person,
    TestServer,
    assert_problem,
    messages,
    running_server,
    until,
)

ROUTE = "/api/keys"
EXECUTE = "/api/agent/execute"
NOT_VALID = "the API key is not valid; it is mistyped, unknown or revoked"


async def made(person: Person, name: str = "Report") -> MadeKey:
    answer = await person.client.post(ROUTE, json={"name": name})
    assert answer.status_code == 201, answer.text
    return MadeKey.model_validate_json(answer.content)


async def listed(person: Person) -> Keys:
    answer = await person.client.get(ROUTE)
    assert answer.status_code == 200, answer.text
    return Keys.model_validate_json(answer.content)


async def revoke(person: Person, key_id: UUID | str) -> httpx2.Response:
    return await person.client.delete(f"{ROUTE}/{key_id}")


def service(person: Person) -> dict[str, str]:
    return {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)}


def malformed(good: str) -> list[str]:
    """Forty keys that are nearly `good`, or nothing like it."""
    body = good[3:]
    near = [
        *(good[:length] for length in (1, 3, 4, 11, 12, 13, 34)),
        *(good + tail for tail in ("x", "=", "%00", "/", " x", body)),
        *(good[:at] + sign + good[at + 1 :] for at in (3, 12, 34) for sign in "-_.%+"),
        good.upper().replace("SY_", "sy-"), f"sy{body}", f"SY {body}", f"_{body}", body,
        f'"{good}"', f"Bearer {good}", f"{good},{good}",
    ]  # fmt: skip
    return [*near, "null", "undefined", "' or 1=1 --", "sy_" + "é" * 32]


async def test_a_key_is_shown_once_and_kept_by_its_hash(server: TestServer, person: Person) -> None:
    answer = await person.client.post(ROUTE, json={"name": "  Nightly report "})

    document = answer.json()
    assert answer.status_code == 201
    assert set(document) == {"id", "name", "key", "prefix", "createdAt"}
    assert (document["name"], document["prefix"]) == ("Nightly report", document["key"][:12])
    assert document["key"].startswith("sy_")
    assert len(document["key"]) == 35
    assert answer.headers["cache-control"] == "no-store"
    rows = await server.sql.fetch(
        "select to_jsonb(k)::text from public.api_keys k where user_id = $1", person.id
    )
    assert document["key"] not in str(rows)
    assert document["key"] not in (await person.client.get(ROUTE)).text


async def test_keys_are_listed_without_what_they_are(person: Person) -> None:
    first, second = await made(person, "one"), await made(person, "two")
    await revoke(person, first.id)

    answer = await person.client.get(ROUTE)

    found = Keys.model_validate_json(answer.content).keys
    assert [(key.id, key.name, key.is_active, key.last_used_at) for key in found] == [
        (second.id, "two", True, None),
        (first.id, "one", False, None),
    ]
    assert set(answer.json()["keys"][0]) == {"id", "name", "prefix", "lastUsedAt", "isActive", "createdAt"}


async def test_a_key_runs_as_its_owner(server: TestServer, person: Person) -> None:
    key = await made(person)

    async with server.client(**{"x-api-key": key.key}) as robot:
        answer = await robot.post(EXECUTE, json=person.body({"chunks": ["Hello ", "you"]}))
        streamed = await robot.post(EXECUTE, json=person.body({"chunks": ["a", "b"]}, stream=True))
        run_id = answer.json()["runId"]
        events = await robot.get(f"/api/runs/{run_id}/events", headers={"accept": "text/event-stream"})
        credits_ = (await robot.get("/api/credits")).json()

    assert (answer.status_code, answer.json()["response"]) == (200, "Hello you")
    assert [each["type"] for each in messages(streamed.text)][-1] == "done"
    assert [each["type"] for each in messages(events.text)][-1] == "done"
    assert (await person.client.get(f"/api/runs/{run_id}")).status_code == 200
    assert credits_ == (await person.client.get("/api/credits")).json()
    assert credits_["balance"] == 998
    assert key.key not in answer.text + streamed.text + events.text


async def test_a_key_and_its_owner_share_one_idempotency_key(server: TestServer, person: Person) -> None:
    key = await made(person)
    headers = {"idempotency-key": "same"}
    first = await person.execute({"chunks": ["a"]}, headers=headers)

    async with server.client(**{"x-api-key": key.key}) as robot:
        again = await robot.post(EXECUTE, json=person.body({"chunks": ["a"]}), headers=headers)

    assert again.json()["runId"] == first.json()["runId"]


async def test_the_use_of_a_key_is_shown(server: TestServer, person: Person) -> None:
    key = await made(person)

    async with server.client(**{"x-api-key": key.key}) as robot:
        assert (await robot.get("/api/credits")).status_code == 200

    async def is_shown() -> bool:
        return (await listed(person)).keys[0].last_used_at is not None

    await until(is_shown)


async def test_a_revoked_key_is_refused_at_once_and_its_successor_gets_in(
    server: TestServer, person: Person
) -> None:
    old, new = await made(person, "old"), await made(person, "new")
    async with server.client(**{"x-api-key": old.key}) as robot:
        assert (await robot.get("/api/credits")).status_code == 200

        answers = [await revoke(person, old.id), await revoke(person, old.id)]

        assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
        assert_problem(await robot.get("/api/credits"), 401, "invalid_token")
        headers = {"x-api-key": new.key}
        assert (await robot.get("/api/credits", headers=headers)).status_code == 200


async def test_a_run_goes_on_when_its_key_is_revoked(server: TestServer, person: Person) -> None:
    key = await made(person)
    async with server.client(**{"x-api-key": key.key}) as robot:
        body = person.body({"gate": "revoked"})
        run_id = (await robot.post(EXECUTE, json=body, headers={"Prefer": "respond-async"})).json()["runId"]
    await revoke(person, key.id)
    server.echo.gates["revoked"].set()

    async def has_succeeded() -> bool:
        return bool((await person.client.get(f"/api/runs/{run_id}")).json()["status"] == "succeeded")

    await until(has_succeeded)


async def test_unknown_malformed_and_revoked_keys_are_refused_alike_and_cost_nothing(
    server: TestServer, person: Person
) -> None:
    revoked = await made(person)
    await revoke(person, revoked.id)
    before, credits_ = await server.counts(), (await person.client.get("/api/credits")).json()
    wrong = [*malformed((await made(person)).key), revoked.key, fresh_key(), revoked.key[:12] + "0" * 23]
    assert len(set(wrong)) >= 40

    told: set[str] = set()
    async with server.client() as stranger:
        for key in wrong:
            answer = await stranger.post(
                EXECUTE, json=person.body(stream=True), headers=[(b"x-api-key", key.encode())]
            )
            problem = assert_problem(answer, 401, "invalid_token")
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
            told.add(json.dumps({**problem, "requestId": ""}))

    assert len(told) == 1
    assert NOT_VALID in told.pop()
    assert await server.counts() == before
    assert (await person.client.get("/api/credits")).json() == credits_


async def test_a_key_opens_nothing_of_anybody_else(server: TestServer, person: Person) -> None:
    key = await made(person)
    async with server.person() as other, server.client(**{"x-api-key": key.key}) as robot:
        run_id = await other.ended({"chunks": ["secret"]})

        for path in (f"/api/runs/{run_id}", f"/api/runs/{run_id}/events", f"/api/runs/{run_id}/receipt"):
            assert_problem(await robot.get(path), 404, "run_not_found")
        assert_problem(await robot.post(f"/api/runs/{run_id}/cancel"), 404, "run_not_found")
        assert_problem(await robot.post(EXECUTE, json=other.body()), 404, "agent_not_found")


async def test_a_key_of_somebody_else_reads_as_unknown_and_stays(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        foreign = await made(other)

        answers = [await revoke(person, each) for each in (foreign.id, uuid4(), "no-key", "%7B%7D")]

        documents = [{**assert_problem(each, 404, "not_found"), "requestId": ""} for each in answers]
        assert all(document == documents[0] for document in documents)
        assert (await listed(person)).keys == []
        assert [key.is_active for key in (await listed(other)).keys] == [True]


@pytest.mark.parametrize("who", ["key", "service", "service and token", "service and key"])
async def test_only_the_user_in_person_manages_keys(server: TestServer, person: Person, who: str) -> None:
    key = await made(person)
    headers = {"x-api-key": key.key} if "key" in who else {}
    headers |= {"authorization": f"Bearer {person.token}"} if "token" in who else {}
    headers |= service(person) if "service" in who else {}

    async with server.client(**headers) as client:
        answers = [
            await client.post(ROUTE, json={"name": "another"}),
            await client.get(ROUTE),
            await client.delete(f"{ROUTE}/{key.id}"),
        ]

    for answer in answers:
        assert_problem(answer, 403, "wrong_caller")
    assert [each.is_active for each in (await listed(person)).keys] == [True]


async def test_credentials_of_one_user_agree(server: TestServer, person: Person) -> None:
    key = await made(person)
    both = {"x-api-key": key.key, "authorization": f"Bearer {person.token}"}

    async with server.client() as client:
        for headers in (both, service(person) | {"x-api-key": key.key}, service(person) | both):
            assert (await client.get("/api/credits", headers=headers)).status_code == 200
        assert (await client.get(ROUTE, headers=both)).status_code == 200


async def test_credentials_of_two_users_conflict_and_each_has_to_hold(
    server: TestServer, person: Person
) -> None:
    key = {"x-api-key": (await made(person)).key}
    async with server.person() as other, server.client() as client:
        token = {"authorization": f"Bearer {other.token}"}
        for headers in (key | token, key | service(other), key | service(person) | token):
            answer = await client.get("/api/credits", headers=headers)
            assert_problem(answer, 400, "conflicting_credentials")
        for headers in (
            {"x-api-key": fresh_key()} | token,
            {"x-api-key": fresh_key()} | service(other),
            key | {"authorization": "Bearer a.b.c"},
            key | {"x-user-id": str(person.id)},
        ):
            assert_problem(await client.get("/api/credits", headers=headers), 401, "invalid_token")
        twice = await client.get("/api/credits", headers=[*key.items(), *key.items()])
        assert_problem(twice, 400, "conflicting_credentials")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "a", "key": "sy_mine"}, "key"),
    ],
    ids=str,
)
async def test_a_wrong_field_is_named_and_makes_nothing(person: Person, body: Document, field: str) -> None:
    problem = assert_problem(await person.client.post(ROUTE, json=body), 422, "invalid_body")

    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await listed(person)).keys == []


async def test_the_twenty_first_active_key_is_refused_with_a_sentence(person: Person) -> None:
    keys = [await made(person, f"{number}") for number in range(20)]

    problem = assert_problem(await person.client.post(ROUTE, json={"name": "x"}), 422, "invalid_body")

    assert "20 active keys" in problem["detail"]
    await revoke(person, keys[0].id)
    await made(person, "x" * 100)


async def test_a_caller_whose_user_is_gone_makes_no_key(server: TestServer) -> None:
    async with server.client(authorization=f"Bearer {server.forge.token(uuid4())}") as nobody:
        assert_problem(await nobody.post(ROUTE, json={"name": "x"}), 400, "invalid_request")


async def test_without_credentials_nothing_is_told_of_keys(server: TestServer) -> None:
    async with server.client() as stranger:
        answers = [
            await stranger.post(ROUTE, content=b"no json"),
            await stranger.get(ROUTE),
            await stranger.delete(f"{ROUTE}/{uuid4()}"),
        ]

    for answer in answers:
        assert_problem(answer, 401, "invalid_token")


async def test_without_the_database_a_key_is_not_called_bad(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url) as server, server.person() as person:
        key = await made(person)
        await drop(database_server, url)

        async with server.client(**{"x-api-key": key.key}) as robot:
            answer = await robot.get("/api/credits")

    assert_problem(answer, 503, "database_unavailable")
    assert "retry-after" in answer.headers


async def test_no_log_line_holds_a_key(server: TestServer, person: Person) -> None:
    with capture_logs() as lines:
        key = await made(person)
        async with server.client(**{"x-api-key": key.key}) as robot:
            await robot.get("/api/credits")
            await robot.post(EXECUTE, json={"agentId": 1})
            await robot.get(f"/api/runs?before={key.key[:-1]}")
        await revoke(person, key.id)

    # Any: whatever was logged.
    text: Any = str(lines)
    assert key.key[12:] not in text


async def test_a_page_may_send_a_key_and_revoke_one(server: TestServer) -> None:
    asks = {
        "origin": ORIGIN,
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "authorization,x-api-key",
    }
    async with server.client() as browser:
        answer = await browser.request("OPTIONS", f"{ROUTE}/{uuid4()}", headers=asks)

    assert answer.status_code == 200
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "x-api-key" in answer.headers["access-control-allow-headers"]


async def test_the_description_says_how_keys_are_sent_and_who_may_manage_them(server: TestServer) -> None:
    async with server.client() as client:
        described = (await client.get("/openapi.json")).json()

    scheme = described["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "x-api-key")
    make, one = described["paths"][ROUTE]["post"], described["paths"][f"{ROUTE}/{{key_id}}"]["delete"]
    assert {"apiKey": []} in described["paths"][EXECUTE]["post"]["security"]
    for operation in (make, one, described["paths"][ROUTE]["get"]):
        assert operation["security"] == [{"user": []}]
    content = make["requestBody"]["content"]["application/json"]
    assert KeyBody.model_validate(content["examples"]["aKey"]["value"]).name
    assert {"201", "403", "408", "413", "415", "422"} <= set(make["responses"])
    assert {"204", "403", "404"} <= set(one["responses"])
