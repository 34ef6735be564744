"""Who is let in: every attack on a token is refused, over HTTP and before a stream begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.support.server import SERVICE_SECRET, Person, TestServer, assert_problem
from tests.support.tokens import Attack
from tests.support.web import serve_web

AT_ONCE = 8
BODY = b'{"agentId": 1}'
# Beyond what the server takes as headers, it may end the connection without a word.
TOO_MUCH_FOR_HEADERS = 60_000


@pytest.fixture(scope="module")
async def person(server: TestServer) -> AsyncIterator[Person]:
    async with server.person() as somebody:
        yield somebody


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(server: TestServer, attack: Attack, *, method: str, path: str) -> Answer | None:
    """Send the attack as it is: a client library would refuse to. None: the connection was ended."""
    address = urlsplit(server.url)
    lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (*attack.headers, ("content-length", str(len(BODY))))]
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + BODY)
        async with asyncio.timeout(10):
            return parse(await reader.read())
    except ConnectionError:
        return None
    finally:
        writer.close()


def parse(answer: bytes) -> Answer | None:
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ")[::2] for line in lines)
    return Answer(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body)


async def replay(server: TestServer, person: Person, *, canary_url: str, method: str, path: str) -> int:
    """Try every attack on one route; answers how many there were."""
    attacks = server.forge.attacks(person.id, canary_url=canary_url, service_secret=SERVICE_SECRET)
    queue = iter(attacks)

    async def work() -> None:
        for attack in queue:
            answer = await ask(server, attack, method=method, path=path)
            if answer is None:
                assert len(attack.token or "") > TOO_MUCH_FOR_HEADERS, attack
                continue
            assert answer.status in attack.statuses, (attack, answer)
            if answer.status == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer"), attack
                assert json.loads(answer.body)["code"] == "invalid_token"

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return len(attacks)


@pytest.mark.parametrize(
    ("method", "route"), [("GET", "/api/runs/{run_id}/events"), ("POST", "/api/agent/execute")]
)
async def test_no_attack_on_a_token_gets_in(
    server: TestServer, person: Person, method: str, route: str
) -> None:
    run_id = await person.ended({"chunks": ["secret"]})
    before = await server.counts()
    async with serve_web() as canary:
        tried = await replay(
            server, person, canary_url=canary.url, method=method, path=route.format(run_id=run_id)
        )

        assert canary.asked == []
    assert tried > 150
    assert await server.counts() == before


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
