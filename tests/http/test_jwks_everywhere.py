"""That what is known of the project's keys holds at every door: requests, streams and sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from routing import create_app
from tests.support.project import KEYS_PATH, MAX_AGE_S, Project, publishing
from tests.support.refusals import By, told_in_answer
from tests.support.server import Person, TestServer, served
from tests.support.sockets import opened
from tests.support.tokens import TokenForge, compact, public_jwk

COOLDOWN_S = 30
IN = "in"


@dataclass(frozen=True)
class Front:
    """The server's rooms behind doors of their own, which believe `project`."""

    url: str
    server: TestServer
    project: Project
    person: Person
    run_id: str

    def token(self, forge: TokenForge | None = None, *, kid: str = "es-1") -> str:
        forge = forge or self.project.forge
        claims = forge.claims(self.person.id)
        return compact({"alg": "ES256", "kid": kid}, claims, forge.signer("ES256"))

    async def answer(self, by: By, token: str) -> str:
        """`IN`, or the code that whoever has `token` is refused with."""
        if by is By.WS:
            async with opened(self.url, query=f"?token={token}") as client:
                message = await client.hear()
                return IN if message["type"] == "connected" else str(message["code"])
        path = f"/api/runs/{self.run_id}" + ("/events" if by is By.SSE else "")
        async with self.server.client(authorization=f"Bearer {token}") as client:
            answer = await client.get(self.url + path)
        return IN if answer.status_code == 200 else str(told_in_answer(answer).code)


@pytest.fixture
async def front(server: TestServer, person: Person) -> AsyncIterator[Front]:
    run_id = await person.ended()
    async with publishing() as project:
        rooms = dataclasses.replace(server.backend.app.state.rooms, authenticator=project.authenticator)
        async with served(create_app(rooms)) as url:
            yield Front(url, server, project, person, run_id)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (503, b""),
        (200, b"<html>maintenance</html>"),
        (200, b'{"keys": [' + b" " * 300_000 + b"]}"),
        (200, json.dumps({"keys": [{"kid": str(number)} for number in range(51)]}).encode()),
    ],
    ids=["down", "no JSON", "huge", "many"],
)
async def test_known_keys_go_on_and_unknown_ones_are_not_called_bad(
    front: Front, status: int, document: bytes
) -> None:
    assert await front.answer(By.HTTP, front.token()) == IN
    front.project.web.reply(KEYS_PATH, document, status=status)
    front.project.clock.move(MAX_AGE_S)

    known = [await front.answer(by, front.token()) for by in By]
    unknown = [await front.answer(by, front.token(kid="perhaps-new")) for by in By]

    assert known == [IN] * 3
    assert unknown == ["backend_failed"] * 3
    assert front.project.fetches() == 2


async def test_a_revoked_key_opens_no_door_once_the_set_is_old(front: Front) -> None:
    before = [await front.answer(by, front.token()) for by in By]
    front.project.publish({"keys": front.project.forge.jwks()["keys"][1:]})
    front.project.clock.move(MAX_AGE_S)

    after = [await front.answer(by, front.token()) for by in By]

    assert before == [IN] * 3
    assert after == ["invalid_token"] * 3


@pytest.mark.parametrize("by", By)
async def test_a_new_key_opens_a_door_at_its_first_token(front: Front, by: By) -> None:
    await front.answer(by, front.token())
    rotated = TokenForge(issuer=front.project.forge.issuer)
    published = [*front.project.forge.jwks()["keys"], public_jwk(rotated.es_key, kid="new", alg="ES256")]
    front.project.publish({"keys": published})
    front.project.clock.move(COOLDOWN_S)

    assert await front.answer(by, front.token(rotated, kid="new")) == IN
    assert front.project.fetches() == 2


async def test_a_key_nobody_published_opens_no_door_under_a_published_name(front: Front) -> None:
    stranger = TokenForge(issuer=front.project.forge.issuer)
    stranger.es_key = ec.generate_private_key(ec.SECP256R1())

    answers = [await front.answer(by, front.token(stranger)) for by in By]

    assert answers == ["invalid_token"] * 3


async def test_a_storm_of_invented_key_ids_at_every_door_costs_one_fetch_a_cooldown(front: Front) -> None:
    assert await front.answer(By.WS, front.token()) == IN
    tried = 0

    for storm in range(1, 4):
        front.project.clock.move(COOLDOWN_S)
        kids = (f"key-{storm}-{number}" for number in range(14))
        attempts = [front.answer(by, front.token(kid=kid)) for kid in kids for by in By]
        answers = await asyncio.gather(*attempts)
        assert set(answers) == {"invalid_token"}
        assert front.project.fetches() == 1 + storm
        tried += len(answers)

    assert tried == 126
    assert [await front.answer(by, front.token()) for by in By] == [IN] * 3


async def test_an_open_socket_is_not_renewed_with_a_revoked_key_and_goes_on(front: Front) -> None:
    async with opened(front.url, query=f"?token={front.token()}") as client:
        await client.hear("connected")
        front.project.publish({"keys": front.project.forge.jwks()["keys"][1:]})
        front.project.clock.move(MAX_AGE_S)

        await client.say("auth", token=front.token())
        assert (await client.hear("error"))["code"] == "invalid_token"
        await client.say("auth", token=front.project.forge.token(front.person.id, algorithm="RS256"))
        assert (await client.hear("connected"))["userId"] == str(front.person.id)


async def test_an_open_socket_lasts_while_the_project_is_down(front: Front) -> None:
    async with opened(front.url, query=f"?token={front.token()}") as client:
        await client.hear("connected")
        front.project.web.reply(KEYS_PATH, b"", status=503)
        front.project.clock.move(MAX_AGE_S)

        await client.say("auth", token=front.token(kid="perhaps-new"))
        assert (await client.hear("error"))["code"] == "backend_failed"
        await client.say("auth", token=front.token())
        await client.hear("connected")
        await client.begin(front.person)
        await client.hear_to_end()
