"""What provokes each error: every function prepares a server and somebody, and yields what is to be asked.

Each is asked by plain HTTP, by a stream or on a socket. What is stored before belongs to the preparation, so
that what the refusal itself has stored can be counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

from routing.bodies import EXECUTE_BYTES
from routing.socket.connection import Tempo
from tests.support.minutes import until_a_minute_lasts
from tests.support.model import Reply
from tests.support.raw import exchange, request_head
from tests.support.refusals import By, Told, hear, look, order, sign_in, told_in_answer
from tests.support.scenes import EXECUTE, Scenes
from tests.support.server import SERVICE_SECRET, Document, Person, TestServer, until
from tests.support.sockets import Impatient, connected, opened, read_nothing, served_door
from tests.support.tables import Tables

__all__ = [
    "Asking",
    "Failing",
    "asking_a_provider_that_fails",
    "asking_an_agent_in_a_hurry",
    "coming_as_two",
    "coming_from_another_page",
    "coming_to_who_is_going",
    "coming_too_often",
    "coming_too_often_from_an_open_socket",
    "coming_when_no_key_is_known",
    "coming_with_nonsense",
    "looking_for_nothing_known",
    "looking_into_a_gap",
    "looking_into_the_future",
    "managing_keys_as_the_service",
    "ordering",
    "ordering_beyond_the_plan",
    "ordering_in_an_outage",
    "ordering_in_another_type",
    "ordering_nothing_known",
    "ordering_too_much",
    "ordering_twice",
    "ordering_what_nobody_runs",
    "ordering_without_credits",
    "reading_nothing",
    "saying_what_is_no_message",
    "sending_a_body_that_stops",
    "somebody",
    "starting_what_only_the_service_may",
]

EVIL = "https://evil.example"

Ask = Callable[[], Awaitable[Told]]
# The server that will refuse, and what is asked of it.
Asking = tuple[TestServer, Ask]
# The same for a run that is accepted and fails, and whose run it is.
Failing = tuple[TestServer, Person, Ask]


@asynccontextmanager
async def somebody(scenes: Scenes, **account: object) -> AsyncIterator[tuple[TestServer, Person]]:
    server = await scenes.plain()
    async with server.person(**account) as person:  # type: ignore[arg-type]
        yield server, person


async def ordering(scenes: Scenes, by: By, **changes: object) -> AsyncIterator[Asking]:
    """An order with something wrong in it."""
    async with somebody(scenes) as (server, person):
        yield server, partial(order, by, server, person, **changes)  # type: ignore[arg-type]


async def ordering_nothing_known(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        yield server, partial(order, by, server, person, agentId=str(uuid4()))


async def ordering_without_credits(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes, balance=0) as (server, person):
        yield server, partial(order, by, server, person)


async def ordering_twice(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        await person.execute({"chunks": ["a"]}, headers={"Idempotency-Key": "k"})
        yield server, partial(order, by, server, person, {"chunks": ["b"]}, key="k")


async def ordering_beyond_the_plan(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes, plan="free") as (server, person):
        await until_a_minute_lasts()
        for _ in range(5):
            await person.ended()
        yield server, partial(order, by, server, person)


async def ordering_what_nobody_runs(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        await server.sql.execute("update public.agents set kind = 'nobody' where id = $1", person.agent_id)
        yield server, partial(order, by, server, person)


async def ordering_too_much(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        if by is By.WS:
            yield server, partial(order, by, server, person, metadata={"a": "x" * 300_000})
        else:
            yield server, partial(_announce, server, person, by)


async def _announce(server: TestServer, person: Person, by: By) -> Told:
    headers = [
        ("authorization", f"Bearer {person.token}"),
        ("accept", "text/event-stream" if by is By.SSE else "*/*"),
        ("content-type", "application/json"),
        ("content-length", str(EXECUTE_BYTES + 1)),
    ]
    return told_in_answer(await exchange(server.url, request_head("POST", EXECUTE, headers)))


async def ordering_in_another_type(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):

        async def ask() -> Told:
            accept = "text/event-stream" if by is By.SSE else "*/*"
            headers = {"content-type": "text/plain", "accept": accept}
            return told_in_answer(await person.client.post(EXECUTE, content=b"{}", headers=headers))

        yield server, ask


async def saying_what_is_no_message(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person), connected(server, person) as client:

        async def ask() -> Told:
            await client.connection.send("hello")
            return await hear(client)

        yield server, ask


async def looking_for_nothing_known(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        yield server, partial(look, by, server, person, str(uuid4()))


async def looking_into_the_future(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        run_id = await person.ended()
        yield server, partial(look, by, server, person, run_id, after=99)


async def looking_into_a_gap(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        run_id = await person.ended({"chunks": list("abcdef")})
        tables = Tables(server.sql)
        await tables.thin_out(run_id, first=1, last=5)
        yield server, partial(look, by, server, person, run_id, after=2)
        await tables.forget(run_id)


async def coming_with_nonsense(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    server = await scenes.plain()
    yield server, partial(sign_in, by, server, [("authorization", "Bearer a.b.c")], tokens=["a.b.c"])


async def coming_as_two(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        other = uuid4()
        headers = [
            ("authorization", f"Bearer {person.token}"),
            ("x-railway-secret", SERVICE_SECRET),
            ("x-user-id", str(other)),
        ]
        tokens = [person.token, server.forge.token(other)]
        yield server, partial(sign_in, by, server, headers, tokens=tokens)


async def coming_when_no_key_is_known(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    server = await scenes.keyless()
    token = server.forge.token(uuid4())
    yield server, partial(sign_in, by, server, [("authorization", f"Bearer {token}")], tokens=[token])


async def coming_too_often(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    server = await scenes.strict()
    async with server.person() as person:
        assert (await person.client.get("/api/credits")).status_code == 200
        yield server, partial(order, by, server, person)


async def coming_too_often_from_an_open_socket(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    server = await scenes.strict()
    async with server.person() as person, connected(server, person) as client:

        async def ask() -> Told:
            await client.execute(person, requestId="asked-1")
            refusal = await client.hear("error")
            return Told("error", refusal["code"], refusal["error"], None, None, _facts(refusal))

        yield server, ask


def _facts(refusal: Document) -> Document:
    return {name: refusal[name] for name in ("retryAfter", "policy")}


async def coming_to_who_is_going(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    server = await scenes.draining()
    async with server.person() as person:
        yield server, partial(order, by, server, person)


async def managing_keys_as_the_service(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):
        service = {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)}
        async with server.client(**service) as edge:

            async def ask() -> Told:
                return told_in_answer(await edge.get("/api/keys"))

            yield server, ask


async def starting_what_only_the_service_may(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):

        async def ask() -> Told:
            path, headers = "/api/agent/execute-validated", {"accept": "text/event-stream"}
            return told_in_answer(await person.client.post(path, json=person.body(), headers=headers))

        yield server, ask


async def coming_from_another_page(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person):

        async def ask() -> Told:
            if by is By.WS:
                async with opened(server.url, query=f"?token={person.token}", origin=EVIL) as client:
                    return await hear(client)
            path = EXECUTE if by is By.HTTP else f"/api/runs/{UUID(int=0)}/events"
            method = "POST" if by is By.HTTP else "GET"
            headers = {
                "origin": EVIL,
                "access-control-request-method": method,
                "access-control-request-headers": "authorization",
            }
            return told_in_answer(await person.client.request("OPTIONS", path, headers=headers))

        yield server, ask


async def sending_a_body_that_stops(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    slow = scenes.slow(by)

    async def ask() -> Told:
        return told_in_answer(await slow.answer)

    yield slow.server, ask
    assert (await slow.person.client.get("/api/runs")).json()["runs"] == []


async def reading_nothing(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    async with somebody(scenes) as (server, person), served_door(server, Tempo(), protocol=Impatient) as door:
        runs = [await person.ended({"chunks": ["x" * 50_000] * 18}) for _ in range(7)]

        async def ask() -> Told:
            query = f"?token={person.token}"
            async with opened(door.url, query=query, max_queue=1, max_size=None) as client:
                await read_nothing(server, client, runs)
                await until(door.is_done)
                return Told(None, close=await client.closed())

        yield server, ask


async def ordering_in_an_outage(scenes: Scenes, by: By) -> AsyncIterator[Asking]:
    told = (await scenes.outage())[by]

    async def ask() -> Told:
        return told

    yield await scenes.plain(), ask


async def asking_a_provider_that_fails(scenes: Scenes, by: By) -> AsyncIterator[Failing]:
    chat = await scenes.chat()
    reply: Reply = {"fault": {"kind": "status", "status": 402}}
    await chat.model.play({"reply": reply})
    async with chat.server.person() as person:
        agent = await chat.agent(person.id)
        yield chat.server, person, partial(order, by, chat.server, person, agentId=str(agent))


async def asking_an_agent_in_a_hurry(scenes: Scenes, by: By) -> AsyncIterator[Failing]:
    async with somebody(scenes) as (server, person):
        await server.sql.execute(
            "update public.agents set config = '{\"deadline_s\": 1}' where id = $1", person.agent_id
        )
        yield server, person, partial(order, by, server, person, {"gate": "never"})
