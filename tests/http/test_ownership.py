"""What is not one's own reads as what does not exist: every route and message with an id, for every caller.

Two users have one of each thing. Whoever asks names their own, the other's, one that nobody has, and a text
that is no id; only the first is answered. Apart from the request's own name the refusals are equal, byte for
byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from routing import models
from routing.socket.inbound import MODELS
from tests.support.server import SERVICE_SECRET, Document, Person, TestServer
from tests.support.sockets import Client, opened

MALFORMED = ("no-id-at-all", "%7B00000000-0000-4000-a000-000000000001%7D", "%00", "' or 1=1 --")
# What differs between any two answers.
VOLATILE = {"date", "ratelimit", "x-request-id", "content-length"}
# Named by clients, or ignored: nothing is looked up by them.
NO_LOOKUP = {"requestId", "userId"}


class Thing(StrEnum):
    RUN = "run"
    AGENT = "agent"
    CONVERSATION = "conversation"
    KEY = "key"


class Who(StrEnum):
    USER = "user"
    KEY = "key"
    SERVICE = "service"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Door:
    """A place where a thing is named: in the path, or in the `field` of a body."""

    thing: Thing
    code: str
    method: str
    path: str
    suffix: str = ""
    field: str | None = None
    accept: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.field or ''} {self.accept.partition('/')[2]}".strip()


@dataclass(frozen=True)
class Message:
    """The same on a socket."""

    thing: Thing
    code: str
    type: str
    field: str

    def __str__(self) -> str:
        return f"{self.type} {self.field}"


RUN, STREAM = "/api/runs/{run_id}", "text/event-stream"
RUNTIME = "/functions/v1/agent-runtime"
DOORS = [
    Door(Thing.RUN, "run_not_found", "GET", RUN),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/events"),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/events", accept=STREAM),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/events", suffix="?after=1", accept=STREAM),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/events", suffix="?after=99999"),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/receipt"),
    Door(Thing.RUN, "run_not_found", "POST", f"{RUN}/cancel"),
    Door(Thing.RUN, "run_not_found", "GET", f"{RUN}/artifacts/{{name:path}}"),
    Door(Thing.CONVERSATION, "conversation_not_found", "GET", "/api/conversations/{conversation_id}"),
    Door(Thing.AGENT, "agent_not_found", "GET", "/api/agent/metrics/{agent_id}"),
    Door(Thing.KEY, "not_found", "DELETE", "/api/keys/{key_id}"),
    Door(Thing.AGENT, "agent_not_found", "POST", "/api/agent/execute", field="agentId"),
    Door(Thing.AGENT, "agent_not_found", "POST", "/api/agent/execute", field="agentId", accept=STREAM),
    Door(Thing.CONVERSATION, "conversation_not_found", "POST", "/api/agent/execute", field="conversationId"),
    Door(Thing.AGENT, "agent_not_found", "POST", RUNTIME, field="agentId"),
    Door(Thing.AGENT, "agent_not_found", "POST", RUNTIME, field="agentId", accept=STREAM),
    Door(Thing.CONVERSATION, "conversation_not_found", "POST", RUNTIME, field="conversationId"),
    Door(Thing.AGENT, "agent_not_found", "POST", "/api/conversations", field="agentId"),
]
MESSAGES = [
    Message(Thing.RUN, "run_not_found", "agent_resume", "runId"),
    Message(Thing.RUN, "run_not_found", "agent_cancel", "runId"),
    Message(Thing.AGENT, "agent_not_found", "agent_execute", "agentId"),
    Message(Thing.CONVERSATION, "conversation_not_found", "agent_execute", "conversationId"),
]
# Only the service is let in there, which has checked the agent, or one that has no row at all.
VALIDATED = "/api/agent/execute-validated"
TRUSTED = {(VALIDATED, "agentId")}
# A position is asked for that the run does not have, so its own reader is refused too, by another code.
BEYOND = "?after=99999"


@dataclass(frozen=True)
class Owner:
    """Somebody with one of each thing; of runs with one that has ended and one that goes on."""

    person: Person
    things: dict[Thing, str]
    going_on: str
    api_key: str

    def named(self, thing: Thing) -> list[str]:
        return [self.things[thing], *([self.going_on] if thing is Thing.RUN else [])]


@asynccontextmanager
async def owner(server: TestServer) -> AsyncIterator[Owner]:
    async with server.person() as person:
        made = [(await person.client.post("/api/keys", json={"name": "x"})).json() for _ in range(2)]
        conversation = (await person.client.post("/api/conversations", json={})).json()["conversationId"]
        run_id = await person.ended({"chunks": ["secret"], "files": {"a.txt": "secret"}})
        things = {
            Thing.RUN: run_id,
            Thing.AGENT: str(person.agent_id),
            Thing.CONVERSATION: conversation,
            Thing.KEY: made[0]["id"],
        }
        going_on = await person.started({"gate": "ownership"})
        yield Owner(person, things, going_on, made[1]["key"])


@pytest.fixture(scope="module")
async def owners(server: TestServer) -> AsyncIterator[tuple[Owner, Owner]]:
    """The one who asks, and the other. Whatever was asked, no invariant is broken after it."""
    async with owner(server) as one, owner(server) as other:
        before = await things_of(other)
        yield one, other
        assert await things_of(other) == before
        server.echo.gates["ownership"].set()
    assert await server.sql.fetchval("select public.switchyard_audit()") == []


def credentials(who: Who, asker: Owner) -> dict[str, str]:
    match who:
        case Who.USER:
            return {"authorization": f"Bearer {asker.person.token}"}
        case Who.KEY:
            return {"x-api-key": asker.api_key}
        case Who.SERVICE:
            return {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(asker.person.id)}
        case Who.NOBODY:
            return {}


async def ask(client: httpx2.AsyncClient, door: Door, named: str, asker: Owner) -> httpx2.Response:
    headers = {"accept": door.accept}
    head, _, tail = door.path.partition("{")
    path = head + (named + tail.partition("}")[2].replace("{name:path}", "a.txt") if tail else "")
    if door.field is None:
        return await client.request(door.method, path + door.suffix, headers=headers)
    body = asker.person.body() if door.path.endswith(("execute", RUNTIME)) else {}
    return await client.request(door.method, path, json={**body, door.field: named}, headers=headers)


def seen(answer: httpx2.Response) -> tuple[int, dict[str, str], str]:
    """All of an answer but what names the request."""
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    return answer.status_code, headers, answer.text.replace(answer.headers["x-request-id"], "")


async def things_of(owner: Owner) -> Document:
    """What the owner sees of their things."""
    client = owner.person.client
    paths = [
        "/api/runs",
        "/api/keys",
        "/api/credits",
        f"/api/conversations/{owner.things[Thing.CONVERSATION]}",
        f"/api/agent/metrics/{owner.person.agent_id}",
    ]
    return {path: (await client.get(path)).json() for path in paths}


@pytest.mark.parametrize("who", Who)
@pytest.mark.parametrize("door", DOORS, ids=str)
async def test_what_is_not_ones_own_reads_as_unknown(
    server: TestServer, owners: tuple[Owner, Owner], door: Door, who: Who
) -> None:
    asker, other = owners
    before = await server.counts()
    names = [str(uuid4()), *other.named(door.thing), *MALFORMED]
    async with server.client(**credentials(who, asker)) as client:
        answers = await asyncio.gather(*(ask(client, door, each, asker) for each in names))
        assert await server.counts() == before
        own = await ask(client, door, asker.things[door.thing], asker)

    unknown, *foreign = map(seen, answers[: -len(MALFORMED)])
    malformed = [seen(each) for each in answers[-len(MALFORMED) :]]
    assert foreign == [unknown] * len(foreign)
    if door.field is None:
        assert malformed == [unknown] * len(malformed)
    else:
        # The edge function reads a request before it asks who sends it.
        is_unread = who is Who.NOBODY and door.path != RUNTIME
        assert {status for status, _, _ in malformed} == {401 if is_unread else 422}
    wanted = expected(door, who)
    assert f'"code":"{wanted or door.code}"' in unknown[2]
    if wanted is None:
        assert own.is_success or door.suffix == BEYOND
    else:
        assert seen(own) == unknown


def expected(door: Door, who: Who) -> str | None:
    """The code of a caller that is refused whatever it names."""
    if who is Who.NOBODY:
        return "invalid_token"
    return "wrong_caller" if door.thing is Thing.KEY and who is not Who.USER else None


@pytest.mark.parametrize("who", [Who.USER, Who.KEY, Who.NOBODY])
async def test_who_is_not_trusted_learns_nothing_of_an_agent_sent_along(
    server: TestServer, owners: tuple[Owner, Owner], who: Who
) -> None:
    asker, other = owners
    door = Door(Thing.AGENT, "wrong_caller", "POST", VALIDATED, field="agentId")
    names = [asker.things[Thing.AGENT], other.things[Thing.AGENT], str(uuid4()), *MALFORMED]
    async with server.client(**credentials(who, asker)) as client:
        answers = [seen(await ask(client, door, each, asker)) for each in names]

    assert answers == answers[:1] * len(names)
    assert answers[0][0] == (401 if who is Who.NOBODY else 403)


@pytest.mark.parametrize("message", MESSAGES, ids=str)
async def test_on_a_socket_too(server: TestServer, owners: tuple[Owner, Owner], message: Message) -> None:
    asker, other = owners
    before = await server.counts()
    async with opened(server.url, query=f"?token={asker.person.token}") as client:
        await client.hear("connected")
        refusals = [
            await say(client, message, each, asker)
            for each in (*other.named(message.thing), str(uuid4()), *MALFORMED)
        ]
        assert await server.counts() == before
        is_cancelled = message.type == "agent_cancel"
        own = await say(
            client, message, asker.going_on if is_cancelled else asker.things[message.thing], asker
        )
        if own["type"] != "agent_execution_error":
            await client.hear_to_end()

    known = len(other.named(message.thing)) + 1
    assert refusals[0]["code"] == message.code
    assert refusals[:known] == refusals[:1] * known
    if message.field == "runId":
        assert refusals == refusals[:1] * len(refusals)
    else:
        assert {each["code"] for each in refusals[known:]} == {"invalid_body"}
    assert own["type"] != "error"


@pytest.mark.parametrize("message", MESSAGES, ids=str)
async def test_nobody_learns_anything_on_a_socket(
    server: TestServer, owners: tuple[Owner, Owner], message: Message
) -> None:
    asker, other = owners
    refusals = []
    for each in (*other.named(message.thing), str(uuid4()), *MALFORMED):
        async with opened(server.url) as client:
            refusals.append(await say(client, message, each, asker))
            assert await client.closed() == 4401

    assert refusals[0]["code"] == "invalid_token"
    assert refusals == refusals[:1] * len(refusals)


async def say(client: Client, message: Message, named: str, asker: Owner) -> Document:
    fields: Document = asker.person.body() if message.type == "agent_execute" else {}
    await client.say(message.type, **{**fields, message.field: named})
    return await client.hear()


async def test_a_page_before_a_run_of_somebody_else_is_a_page_before_any_number(
    owners: tuple[Owner, Owner],
) -> None:
    asker, other = owners
    foreign = UUID(other.things[Thing.RUN])
    unknown = UUID(int=foreign.int ^ 1)

    pages = [await asker.person.client.get(f"/api/runs?before={each}") for each in (foreign, unknown)]

    assert pages[0].status_code == 200
    assert pages[0].content == pages[1].content


def test_no_route_with_an_id_is_left_out(server: TestServer) -> None:
    with_id = {(method, path) for method, path in routes(server.backend.app) if "{" in path}

    assert with_id == {(door.method, door.path) for door in DOORS if door.field is None}


async def test_no_field_with_an_id_is_left_out(server: TestServer) -> None:
    described = await description(server)
    of_bodies = {
        (path, field)
        for path, operation in operations(described)
        if "requestBody" in operation
        for field in ids(getattr(models, model_of(operation)))
    }
    of_messages = {(type_, field) for type_, model in MODELS.items() for field in ids(model)}

    assert of_bodies == {(door.path, door.field) for door in DOORS if door.field is not None} | TRUSTED
    assert of_messages == {(message.type, message.field) for message in MESSAGES}


async def test_no_query_but_one_names_a_thing(server: TestServer) -> None:
    queries = {
        parameter["name"]
        for _, operation in operations(await description(server))
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }

    # `before` names a run; the others are numbers.
    assert queries == {"before", "after", "limit", "wait"}


async def description(server: TestServer) -> Document:
    async with server.client() as client:
        document: Document = (await client.get("/openapi.json")).json()
    return document


def operations(described: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in described["paths"].items():
        yield from ((path, operation) for operation in methods.values())


def model_of(operation: Document) -> str:
    schema: Document = operation["requestBody"]["content"]["application/json"]["schema"]
    return str(schema["$ref"]).rpartition("/")[2]


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    # Any: the framework wraps the routers that an application includes in a class of its own.
    included: Iterable[Any] = (getattr(each, "original_router", None) for each in app.routes)
    for router in included:
        for route in router.routes if router is not None else ():
            assert isinstance(route, APIRoute)
            yield from ((method, route.path) for method in route.methods or ())


def ids(model: type[BaseModel]) -> set[str]:
    """The fields that name a thing."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return {name for name in names if name.endswith("Id")} - NO_LOOKUP
