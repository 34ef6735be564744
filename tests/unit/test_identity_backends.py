"""Other backends: what their tokens are good for, and that nothing else is taken for one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from foundation.clock import SystemClock
from foundation.errors import ConflictingCredentials, HeavyError, InvalidToken
from foundation.identity import KEYS_PATH, Authenticator, CallerKind, RunTokens
from foundation.outbound import Outbound
from foundation.settings import Settings
from tests.support.certificate import certificate_for
from tests.support.forwarding import as_pem, fresh_key
from tests.support.run_forge import RUN_TYPE, RunForge
from tests.support.tokens import Attack
from tests.support.web import Web, serve_web

USER = UUID("3d1f7c1a-6a52-4e2b-8f0b-7a5f3c9d2e10")
US = "https://us.example"
SECRET = "service-secret-of-at-least-32-chars"


@dataclass(frozen=True)
class Other:
    """A backend that is trusted, and one who takes its tokens."""

    web: Web
    forge: RunForge
    outbound: Outbound
    authenticator: Authenticator

    # Any: settings are given as their variables, which the type checker does not know.
    def taker(self, **variables: Any) -> Authenticator:
        settings = Settings(
            _env_file=None,
            DATABASE_URL="postgresql://db",
            RAILWAY_BACKEND_SECRET=SECRET,
            **{"TRUSTED_BACKENDS": (self.forge.issuer,), "PUBLIC_URL": US, **variables},
        )
        return Authenticator(settings, outbound=self.outbound, clock=SystemClock())


@pytest.fixture(scope="module")
async def other(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Other]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = certificate_for("localhost", folder, address="127.0.0.1")
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(serve_web(certificate=certificate, key=key))
        forge = RunForge(issuer=f"https://localhost:{web.port}", audience=US)
        web.reply(KEYS_PATH, json.dumps(forge.jwks()).encode())
        outbound = Outbound(extra_ca_file=certificate)
        await outbound.start()
        stack.push_async_callback(outbound.stop)
        found = Other(web, forge, outbound, None)  # type: ignore[arg-type]  # made of the others, below
        taker = found.taker(PRIVATE_BACKENDS=(forge.issuer,))
        stack.push_async_callback(taker.stop)
        yield Other(web, forge, outbound, taker)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_good_token_stands_for_an_identity_of_its_own(other: Other) -> None:
    caller = await other.authenticator.backend(bearer(other.forge.token(USER)))

    assert caller is not None
    assert caller.via is CallerKind.BACKEND
    assert caller.forwarded is not None
    assert (caller.forwarded.issuer, caller.forwarded.subject) == (other.forge.issuer, USER)
    assert caller.forwarded.key == "run-1"
    assert caller.user_id != USER
    assert caller.user_id.version == 5


async def test_it_is_the_same_at_every_call_and_another_for_everybody_else(other: Other) -> None:
    first, again, others = [
        await other.authenticator.backend(bearer(other.forge.token(user))) for user in (USER, USER, uuid4())
    ]

    assert first is not None
    assert again is not None
    assert others is not None
    assert first.user_id == again.user_id != others.user_id


async def test_what_we_sign_ourselves_is_taken_by_whom_it_is_for(other: Other) -> None:
    ours = RunTokens(as_pem(fresh_key()), issuer=other.forge.issuer, clock=SystemClock())
    token = ours.token(audience=US, user_id=USER, key="run-2")
    other.web.reply(KEYS_PATH, json.dumps(ours.key_set).encode())
    taker = other.taker(PRIVATE_BACKENDS=(other.forge.issuer,))

    caller = await taker.backend(bearer(token))

    await taker.stop()
    other.web.reply(KEYS_PATH, json.dumps(other.forge.jwks()).encode())
    assert caller is not None
    assert caller.forwarded is not None
    assert caller.forwarded.key == "run-2"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60
    assert jwt.get_unverified_header(token)["typ"] == RUN_TYPE


def test_of_several_keys_the_first_signs_and_all_are_published() -> None:
    first, second = fresh_key(), fresh_key()
    old = RunTokens(as_pem(second), issuer=US, clock=SystemClock())

    both = RunTokens(as_pem(first) + as_pem(second), issuer=US, clock=SystemClock())

    keys = both.key_set["keys"]
    assert isinstance(keys, list)
    assert len(keys) == 2
    assert old.key_set["keys"] == [keys[1]]
    assert all(isinstance(each, dict) and "d" not in each for each in keys)
    token = both.token(audience=US, user_id=USER, key="k")
    assert jwt.get_unverified_header(token)["kid"] == next(iter(keys))["kid"]  # type: ignore[index,call-overload]


async def test_no_attack_on_a_token_gets_in(other: Other) -> None:
    async with serve_web() as canary:
        attacks = other.forge.run_attacks(USER, canary_url=canary.url)
        taken = [attack for attack in attacks if await takes(other, attack)]
        assert canary.asked == []

    assert taken == []
    assert len(attacks) > 120


async def takes(other: Other, attack: Attack) -> bool:
    try:
        return await other.authenticator.backend(bearer(attack.token or "")) is not None
    except HeavyError as error:
        return error.status not in attack.statuses


async def test_it_is_taken_for_no_user_of_ours(other: Other) -> None:
    good = other.forge.token(USER)

    with pytest.raises(InvalidToken):
        await other.authenticator.authenticate(bearer(good))
    with pytest.raises(InvalidToken):
        await other.authenticator.verify(good)
    with pytest.raises(InvalidToken):
        await other.authenticator.authenticate(
            {**bearer(good), "x-railway-secret": SECRET, "x-user-id": str(USER)}
        )


async def test_it_is_not_mixed_with_other_credentials(other: Other) -> None:
    good = bearer(other.forge.token(USER))

    assert await other.authenticator.backend({**good, "x-railway-secret": SECRET}) is None
    with pytest.raises(ConflictingCredentials):
        await other.authenticator.backend({**good, "x-api-key": f"sy_{'a' * 32}"})


async def test_nobody_is_taken_where_nobody_is_trusted(other: Other) -> None:
    for variables in (
        {"TRUSTED_BACKENDS": ()},
        {"PUBLIC_URL": None},
        {"TRUSTED_BACKENDS": ("https://c.example",)},
    ):
        taker = other.taker(**variables)
        with pytest.raises(InvalidToken):
            await taker.backend(bearer(other.forge.token(USER)))
        await taker.stop()


async def test_a_stranger_s_keys_are_never_fetched(other: Other) -> None:
    asked = len(other.web.asked)
    taker = other.taker(TRUSTED_BACKENDS=("https://c.example",))

    with pytest.raises(InvalidToken):
        await taker.backend(bearer(other.forge.token(USER)))

    await taker.stop()
    assert len(other.web.asked) == asked


async def test_keys_in_a_private_network_are_fetched_only_where_that_is_said(other: Other) -> None:
    asked, taker = len(other.web.asked), other.taker()

    with pytest.raises(HeavyError, match="keys cannot be fetched"):
        await taker.backend(bearer(other.forge.token(USER)))

    await taker.stop()
    assert len(other.web.asked) == asked


async def test_keys_are_not_fetched_from_where_a_redirect_leads(other: Other) -> None:
    moved = {"location": f"{other.forge.issuer}/elsewhere"}
    other.web.reply(KEYS_PATH, status=302, headers=moved)
    other.web.reply("/elsewhere", json.dumps(other.forge.jwks()).encode())
    taker = other.taker(PRIVATE_BACKENDS=(other.forge.issuer,))

    with pytest.raises(HeavyError, match="keys cannot be fetched"):
        await taker.backend(bearer(other.forge.token(USER)))

    await taker.stop()
    other.web.reply(KEYS_PATH, json.dumps(other.forge.jwks()).encode())
    assert other.web.asked_for("/elsewhere") == []
