"""The project's keys, as fresh as they need to be: fetched seldom, kept when the project fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import Send

from foundation.identity import KeysUnavailable
from tests.support.project import KEYS_PATH, MAX_AGE_S, USER, Project, publishing
from tests.support.tokens import TokenForge, compact, public_jwk


@pytest.fixture
async def project() -> AsyncIterator[Project]:
    async with publishing() as project:
        yield project


async def test_keys_are_fetched_once_and_kept(project: Project) -> None:
    for algorithm in ("ES256", "RS256", "ES256"):
        assert await project.takes(project.forge.token(USER, algorithm=algorithm))

    assert project.fetches() == 1


async def test_the_start_fetches_ahead_and_does_not_wait(project: Project) -> None:
    await project.authenticator.start()
    await project.web.until_asked(KEYS_PATH)

    assert await project.takes(project.forge.token(USER))
    assert project.fetches() == 1


async def test_many_first_callers_share_one_fetch(project: Project) -> None:
    token = project.forge.token(USER)

    assert all(await asyncio.gather(*(project.takes(token) for _ in range(100))))
    assert project.fetches() == 1


async def test_keys_are_fetched_again_when_their_max_age_is_over(project: Project) -> None:
    token = project.forge.token(USER)
    await project.takes(token)

    project.clock.move(MAX_AGE_S - 1)
    assert await project.takes(token)
    assert project.fetches() == 1

    project.clock.move(1)
    assert await project.takes(token)
    assert project.fetches() == 2


async def test_a_revoked_key_is_refused_once_the_set_is_old(project: Project) -> None:
    token = project.forge.token(USER)
    assert await project.takes(token)
    project.publish({"keys": project.forge.jwks()["keys"][1:]})

    assert await project.takes(token)
    project.clock.move(MAX_AGE_S)

    assert not await project.takes(token)


async def test_a_new_key_is_found_at_its_first_token(project: Project) -> None:
    await project.takes(project.forge.token(USER))
    key = ec.generate_private_key(ec.SECP256R1())
    project.publish({"keys": [*project.forge.jwks()["keys"], public_jwk(key, kid="new", alg="ES256")]})
    rotated = replace_key(project.forge, key)
    project.clock.move(30)

    token = compact({"alg": "ES256", "kid": "new"}, project.forge.claims(USER), rotated.signer("ES256"))

    assert await project.takes(token)
    assert project.fetches() == 2


async def test_a_storm_of_invented_key_ids_costs_one_fetch_a_cooldown(project: Project) -> None:
    good = project.forge.token(USER)
    await project.takes(good)
    fetched = project.fetches()

    for storm in range(1, 4):
        project.clock.move(30)
        tokens = [project.invented(f"key-{storm}-{number}") for number in range(200)]
        assert not any(await asyncio.gather(*(project.takes(token) for token in tokens)))
        project.clock.move(29)
        assert not await project.takes(project.invented(f"late-{storm}"))
        assert project.fetches() == fetched + storm

    assert await project.takes(good)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (500, b"oops"),
        (404, b""),
        (200, b"<html>maintenance</html>"),
        (200, b'{"keys": "none"}'),
        (200, b'{"keys": [' + b" " * 300_000 + b"]}"),
        (200, json.dumps({"keys": [{"kid": str(n)} for n in range(51)]}).encode()),
        (302, b""),
    ],
)
async def test_known_keys_go_on_when_the_project_answers_nonsense(
    project: Project, status: int, document: bytes
) -> None:
    token = project.forge.token(USER)
    await project.takes(token)
    headers = {"location": "http://169.254.169.254/latest"} if status == 302 else {}
    project.web.reply(KEYS_PATH, document, status=status, headers=headers)

    project.clock.move(MAX_AGE_S)

    assert await project.takes(token)
    assert project.fetches() == 2


async def test_known_keys_go_on_when_the_project_never_finishes_its_answer(project: Project) -> None:
    token = project.forge.token(USER)
    await project.takes(token)
    left = asyncio.Event()

    async def hang(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await left.wait()

    project.web.answers[KEYS_PATH] = hang
    project.clock.move(MAX_AGE_S)

    assert await project.takes(token)
    # The caller went on while the fetch was still under way.
    assert len(project.authenticator._tasks) == 1
    left.set()


async def test_a_failed_fetch_is_not_repeated_before_the_cooldown(project: Project) -> None:
    token = project.forge.token(USER)
    await project.takes(token)
    project.web.reply(KEYS_PATH, b"", status=503)
    project.clock.move(MAX_AGE_S)

    for _ in range(20):
        assert await project.takes(token)
    assert project.fetches() == 2

    project.publish()
    project.clock.move(30)
    assert await project.takes(token)
    assert project.fetches() == 3


async def test_a_good_token_is_not_called_bad_while_no_keys_could_be_fetched(project: Project) -> None:
    project.web.reply(KEYS_PATH, b"", status=503)
    token = project.forge.token(USER)

    with pytest.raises(KeysUnavailable) as unavailable:
        await project.authenticator.verify(token)
    assert unavailable.value.status == 502
    assert unavailable.value.headers() == {"Retry-After": "5"}

    project.publish()
    project.clock.move(2)
    assert await project.takes(token)


async def test_an_unknown_key_is_not_called_bad_while_the_project_is_down(project: Project) -> None:
    await project.takes(project.forge.token(USER))
    project.web.reply(KEYS_PATH, b"", status=503)
    project.clock.move(30)

    with pytest.raises(KeysUnavailable):
        await project.authenticator.verify(project.invented("maybe-new"))


async def test_a_malformed_key_id_is_never_looked_up(project: Project) -> None:
    await project.takes(project.forge.token(USER))
    project.clock.move(30)

    for kid in ("", "with space", "tab\t", "nul\0", "k" * 257, "ümlaut"):
        assert not await project.takes(project.invented(kid))

    assert project.fetches() == 1


async def test_no_credential_is_sent_for_the_keys(project: Project) -> None:
    await project.takes(project.forge.token(USER))

    sent = project.web.asked_for(KEYS_PATH)[0].headers
    assert not {"authorization", "cookie", "apikey", "x-railway-secret"} & sent.keys()


# Any: `replace` works on dataclasses only; the forge is a plain class.
def replace_key(forge: TokenForge, key: Any) -> TokenForge:
    rotated = TokenForge(issuer=forge.issuer)
    rotated.es_key = key
    return rotated
