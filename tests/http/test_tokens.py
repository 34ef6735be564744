"""Who is let in: every attack on a token is refused, over HTTP, before a stream begins, and on a socket."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import cycle
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from routing.socket.connection import Tempo
from tests.support.raw import exchange, request_head
from tests.support.refusals import hear
from tests.support.server import SERVICE_SECRET, Person, TestServer, assert_problem
from tests.support.sockets import Client, connected, opened, served_door
from tests.support.tokens import Attack
from tests.support.web import serve_web

AT_ONCE = 8
BODY = b'{"agentId": 1}'
# Beyond what the server takes as headers, it may end the connection without a word.
TOO_MUCH_FOR_HEADERS = 60_000
# The opening of a socket has lines of 8 kB at most, and a message 256 kB.
TOO_MUCH_FOR_A_LINE = 8_000
TOO_MUCH_FOR_A_MESSAGE = 250_000
# What a subprotocol may hold; a client cannot offer anything else (RFC 6455, section 4.1).
SUBPROTOCOL = re.compile(r"[A-Za-z0-9._-]+")
ANYTHING = re.compile(r"(?s).+")


@pytest.fixture(scope="module")
async def person(server: TestServer) -> AsyncIterator[Person]:
    async with server.person() as somebody:
        yield somebody


async def over_http(server: TestServer, attack: Attack, *, method: str, path: str, accept: str) -> None:
    """The attack as it is, which a client library would refuse to send."""
    lines = [("accept", accept), ("content-type", "application/json"), ("content-length", str(len(BODY)))]
    answer = await exchange(server.url, request_head(method, path, [*attack.headers, *lines]) + BODY)
    if answer is None:
        assert len(attack.token or "") > TOO_MUCH_FOR_HEADERS, attack
        return
    assert answer.status_code in attack.statuses, (attack, answer.text)
    if answer.status_code == 401:
        assert_problem(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"].startswith("Bearer"), attack


async def on_a_socket(server: TestServer, token: str, *, way: str) -> None:
    """The token where a client may put it; nothing is heard but one refusal."""
    protocols = ["switchyard.v1", f"jwt-{token}"] if way == "subprotocol" else []
    query = f"?token={quote(token)}" if way == "query" else ""
    try:
        async with opened(server.url, protocols=protocols, query=query) as client:
            if way == "message":
                await client.say("auth", token=token)
            told = await hear(client)
    except (InvalidHandshake, ConnectionError):
        assert way != "message"
        assert len(token) > TOO_MUCH_FOR_A_LINE
        return
    if len(token) > TOO_MUCH_FOR_A_MESSAGE:
        assert (told.kind, told.close) == (None, 1009)
    else:
        assert (told.kind, told.code, told.close) == ("error", "invalid_token", 4401)


async def tried(attacks: Iterable[Attack], attempt: Callable[[Attack], Awaitable[None]]) -> int:
    """Try every attack, some at once; how many there were."""
    queue = iter(attacks)

    async def work() -> int:
        number = 0
        for attack in queue:
            await attempt(attack)
            number += 1
        return number

    return sum(await asyncio.gather(*(work() for _ in range(AT_ONCE))))


@asynccontextmanager
async def besieged(server: TestServer, person: Person) -> AsyncIterator[list[Attack]]:
    """Every attack; whatever is done with them, no key of theirs is fetched and nothing is stored."""
    before = await server.counts()
    async with serve_web() as canary:
        yield server.forge.attacks(person.id, canary_url=canary.url, service_secret=SERVICE_SECRET)
        assert canary.asked == []
    assert await server.counts() == before


@pytest.mark.parametrize(
    ("method", "route", "accept"),
    [
        ("GET", "/api/runs/{run_id}", "application/json"),
        ("POST", "/api/agent/execute", "application/json"),
        ("GET", "/api/runs/{run_id}/events", "text/event-stream"),
        ("POST", "/api/agent/execute", "text/event-stream"),
    ],
)
async def test_no_attack_on_a_token_gets_in(
    server: TestServer, person: Person, method: str, route: str, accept: str
) -> None:
    path = route.format(run_id=await person.ended({"chunks": ["secret"]}))
    async with besieged(server, person) as attacks:
        number = await tried(
            attacks, lambda each: over_http(server, each, method=method, path=path, accept=accept)
        )

    print(f"{method} {route} {accept}: {number} attacks")  # noqa: T201 - a figure that is quoted
    assert number > 150


@pytest.mark.parametrize("way", ["subprotocol", "query", "message"])
async def test_no_attack_on_a_token_opens_a_socket(server: TestServer, person: Person, way: str) -> None:
    form = SUBPROTOCOL if way == "subprotocol" else ANYTHING
    async with besieged(server, person) as attacks:
        fit = [each for each in attacks if each.token is not None and form.fullmatch(each.token)]
        number = await tried(fit, lambda each: on_a_socket(server, each.token or "", way=way))

    print(f"/ws by {way}: {number} attacks")  # noqa: T201 - a figure that is quoted
    assert number > 140


async def test_no_attack_on_a_token_changes_whose_an_open_socket_is(
    server: TestServer, person: Person
) -> None:
    number = 0
    async with connected(server, person) as client:
        async with besieged(server, person) as attacks:
            for attack in attacks:
                if attack.token is None or len(attack.token) > TOO_MUCH_FOR_A_MESSAGE:
                    continue
                await client.say("auth", token=attack.token, requestId=attack.name)
                refusal = await client.hear("error")
                assert (refusal["code"], refusal["requestId"]) == ("invalid_token", attack.name)
                number += 1
        run_id = await client.begin(person, {"chunks": ["mine"]})
        await client.hear_to_end()

    print(f"/ws by renewal: {number} attacks")  # noqa: T201 - a figure that is quoted
    assert number > 140
    assert (await person.client.get(f"/api/runs/{run_id}")).status_code == 200


async def test_no_attack_on_a_token_makes_a_socket_outlive_its_own(
    server: TestServer, person: Person
) -> None:
    expires_at = int(time.time()) + 2
    token = server.forge.token(person.id, {"exp": expires_at})
    attacks = server.forge.attacks(person.id)
    short = [each.token for each in attacks if each.token and len(each.token) < TOO_MUCH_FOR_A_MESSAGE]
    async with (
        served_door(server, Tempo(grace_s=0)) as door,
        opened(door.url, query=f"?token={token}") as client,
    ):
        await client.hear("connected")
        with pytest.raises(ConnectionClosed) as ended:
            await renew_without_end(client, short)

    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 4401
    assert time.time() >= expires_at


async def renew_without_end(client: Client, tokens: list[str]) -> None:
    for each in cycle(tokens):
        await client.say("auth", token=each)
        assert (await client.hear("error"))["code"] == "invalid_token"
        await asyncio.sleep(0.02)


async def test_what_proves_a_request_opens_no_socket(server: TestServer, person: Person) -> None:
    key = (await person.client.post("/api/keys", json={"name": "x"})).json()["key"]
    ways: list[dict[str, str]] = [
        {"authorization": f"Bearer {person.token}"},
        {"x-api-key": key},
        {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)},
    ]
    for headers in ways:
        async with opened(server.url, additional_headers=headers) as client:
            await client.say("ping")
            assert (await client.hear("error"))["code"] == "invalid_token"
            assert await client.closed() == 4401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/agent/execute"),
        ("GET", "/api/runs"),
        ("GET", "/api/runs/x"),
        ("GET", "/api/runs/x/events"),
        ("GET", "/api/runs/x/receipt"),
        ("GET", "/api/runs/x/artifacts/a"),
        ("POST", "/api/runs/x/cancel"),
        ("GET", "/api/credits"),
        ("GET", "/api/agents"),
    ],
)
async def test_without_credentials_nothing_is_told(server: TestServer, method: str, path: str) -> None:
    async with server.client() as stranger:
        answer = await stranger.request(method, path, params={"limit": "wrong", "after": "wrong"})

    assert_problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_token_of_the_project_gets_in(server: TestServer, person: Person, algorithm: str) -> None:
    token = server.forge.token(person.id, algorithm=algorithm)
    async with server.client(authorization=f"Bearer {token}") as client:
        assert (await client.get("/api/credits")).status_code == 200


async def test_two_credentials_that_agree_get_in(server: TestServer, person: Person) -> None:
    headers = {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)}

    assert (await person.client.get("/api/credits", headers=headers)).status_code == 200
