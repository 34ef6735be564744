from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.datastructures import Headers

from foundation.clock import SystemClock
from foundation.errors import (
    ConflictingCredentials,
    HeavyError,
    InvalidRequest,
    InvalidToken,
    WrongCaller,
)
from foundation.identity import Authenticator, CallerKind, MissingCredentials
from foundation.outbound import Outbound
from foundation.settings import Settings
from tests.support.tokens import Attack, TokenForge
from tests.support.web import Web, serve_web

USER = UUID("3d1f7c1a-6a52-4e2b-8f0b-7a5f3c9d2e10")
SERVICE_SECRET = "service-secret-of-at-least-32-chars"
JWT_SECRET = "legacy-jwt-secret-of-at-least-32-chars"
JWKS_PATH = "/auth/v1/.well-known/jwks.json"


@dataclass(frozen=True)
class Project:
    """A Supabase project's key server, and a server configured for it."""

    forge: TokenForge
    web: Web
    outbound: Outbound
    authenticator: Authenticator

    # Any: settings are given as their variables, which the type checker does not know.
    def configured(self, **variables: Any) -> Authenticator:
        return configured(self.web, self.outbound, variables)


def configured(web: Web, outbound: Outbound, variables: dict[str, Any]) -> Authenticator:
    settings = Settings(
        _env_file=None,
        DATABASE_URL="postgresql://db",
        SUPABASE_URL=web.url,
        RAILWAY_BACKEND_SECRET=SERVICE_SECRET,
        **variables,
    )
    return Authenticator(settings, outbound=outbound, clock=SystemClock())


@pytest.fixture(scope="module")
async def project() -> AsyncIterator[Project]:
    async with serve_web() as web:
        outbound = Outbound()
        await outbound.start()
        forge = TokenForge(issuer=f"{web.url}/auth/v1", secret=JWT_SECRET)
        web.reply(JWKS_PATH, json.dumps(forge.jwks()).encode(), headers={"cache-control": "max-age=600"})
        authenticator = configured(web, outbound, {"SUPABASE_JWT_SECRET": JWT_SECRET})
        await authenticator.start()
        yield Project(forge, web, outbound, authenticator)
        await authenticator.stop()
        await outbound.stop()


def headers_of(attack: Attack) -> Headers:
    return Headers(
        raw=[(name.encode(), value.encode("latin-1", "replace")) for name, value in attack.headers]
    )


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "HS256"])
async def test_a_good_token_proves_its_user(project: Project, algorithm: str) -> None:
    token = project.forge.token(USER, algorithm=algorithm)

    caller = await project.authenticator.authenticate({"authorization": f"Bearer {token}"})

    assert (caller.user_id, caller.via) == (USER, CallerKind.USER)


async def test_every_attack_is_refused_with_its_status_and_fetches_nothing(project: Project) -> None:
    canary_url = f"{project.web.url}/canary"
    attacks = project.forge.attacks(USER, canary_url=canary_url, service_secret=SERVICE_SECRET)
    survived: list[str] = []

    for attack in attacks:
        try:
            await project.authenticator.authenticate(headers_of(attack))
        except HeavyError as refusal:
            if refusal.status not in attack.statuses:
                survived.append(f"{attack.name}: {refusal.status}")
        else:
            survived.append(f"{attack.name}: accepted")

    assert survived == []
    assert len(attacks) > 130
    assert project.web.asked_for("/canary") == []
    assert len(project.web.asked_for(JWKS_PATH)) <= 2


async def test_every_attack_by_token_alone_is_refused_on_a_socket_too(project: Project) -> None:
    tokens = [attack for attack in project.forge.attacks(USER) if attack.token is not None]

    for attack in tokens:
        with pytest.raises(InvalidToken):
            await project.authenticator.verify(attack.token or "")


async def test_a_shared_secret_token_is_refused_where_no_secret_is_set(project: Project) -> None:
    without_secret = project.configured()

    with pytest.raises(InvalidToken, match="shared secret"):
        await without_secret.verify(project.forge.token(USER, algorithm="HS256"))


async def test_published_keys_mean_nothing_where_no_project_is_set(project: Project) -> None:
    settings = Settings(_env_file=None, SUPABASE_JWT_SECRET=JWT_SECRET, JWT_ISSUER=project.forge.issuer)
    alone = Authenticator(settings, outbound=project.outbound, clock=SystemClock())

    assert (await alone.verify(project.forge.token(USER, algorithm="HS256"))).user_id == USER
    with pytest.raises(InvalidToken, match="algorithm"):
        await alone.verify(project.forge.token(USER))


async def test_anonymous_users_are_taken_where_the_settings_allow_them(project: Project) -> None:
    token = project.forge.token(USER, {"is_anonymous": True})

    assert (await project.configured(ALLOW_ANONYMOUS="1").verify(token)).user_id == USER


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_case(project: Project, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {project.forge.token(USER)}"}

    assert (await project.authenticator.authenticate(headers)).user_id == USER


async def test_the_service_speaks_for_the_user_it_names(project: Project) -> None:
    headers = {"X-Railway-Secret": SERVICE_SECRET, "X-User-Id": str(USER)}

    caller = await project.authenticator.authenticate(headers)

    assert (caller.user_id, caller.via, caller.token_expires_at) == (USER, CallerKind.SERVICE, None)


async def test_the_service_may_pass_on_the_same_users_token(project: Project) -> None:
    headers = {
        "x-railway-secret": SERVICE_SECRET,
        "x-user-id": str(USER),
        "authorization": f"Bearer {project.forge.token(USER)}",
    }

    assert (await project.authenticator.authenticate(headers)).via is CallerKind.SERVICE


async def test_two_credentials_for_two_users_are_refused(project: Project) -> None:
    headers = {
        "x-railway-secret": SERVICE_SECRET,
        "x-user-id": str(uuid4()),
        "authorization": f"Bearer {project.forge.token(USER)}",
    }

    with pytest.raises(ConflictingCredentials):
        await project.authenticator.authenticate(headers)


async def test_no_secret_is_the_right_one_where_none_is_set(project: Project) -> None:
    settings = Settings(_env_file=None, SUPABASE_JWT_SECRET=JWT_SECRET)
    without_service = Authenticator(settings, outbound=project.outbound, clock=SystemClock())

    for secret in ("", "None", SERVICE_SECRET):
        with pytest.raises(InvalidToken):
            await without_service.authenticate({"x-railway-secret": secret, "x-user-id": str(USER)})


async def test_a_secret_beyond_ascii_is_compared_by_its_bytes(project: Project) -> None:
    secret = "geheimnis-mit-ümlauten-und-32-zeichen"
    settings = Settings(_env_file=None, SUPABASE_JWT_SECRET=JWT_SECRET, RAILWAY_BACKEND_SECRET=secret)
    authenticator = Authenticator(settings, outbound=project.outbound, clock=SystemClock())
    headers = Headers(raw=[(b"x-railway-secret", secret.encode()), (b"x-user-id", str(USER).encode())])

    assert (await authenticator.authenticate(headers)).user_id == USER


async def test_the_service_may_name_its_user_in_the_body(project: Project) -> None:
    caller = await project.authenticator.authenticate_service(
        {"x-railway-secret": SERVICE_SECRET}, user_id=USER
    )

    assert (caller.user_id, caller.via) == (USER, CallerKind.SERVICE)


async def test_a_user_may_not_call_what_is_the_services(project: Project) -> None:
    headers = {"authorization": f"Bearer {project.forge.token(USER)}"}

    with pytest.raises(WrongCaller):
        await project.authenticator.authenticate_service(headers, user_id=USER)


@pytest.mark.parametrize("named", [str(uuid4()), "nobody"])
async def test_the_service_may_not_name_another_user_in_its_headers(project: Project, named: str) -> None:
    headers = {"x-railway-secret": SERVICE_SECRET, "x-user-id": named}

    with pytest.raises(ConflictingCredentials):
        await project.authenticator.authenticate_service(headers, user_id=USER)


async def test_a_wrong_secret_is_refused_where_only_the_service_may_call(project: Project) -> None:
    with pytest.raises(InvalidToken):
        await project.authenticator.authenticate_service({"x-railway-secret": "x" * 40}, user_id=USER)


async def test_nothing_offered_is_told_from_something_bad(project: Project) -> None:
    with pytest.raises(MissingCredentials) as missing:
        await project.authenticator.authenticate({"accept": "*/*"})
    with pytest.raises(InvalidToken) as bad:
        await project.authenticator.authenticate({"authorization": "Bearer a.b.c"})

    assert missing.value.headers() == {"WWW-Authenticate": "Bearer"}
    assert bad.value.headers() == {"WWW-Authenticate": 'Bearer error="invalid_token"'}


async def test_a_service_that_names_nobody_is_told_what_is_missing(project: Project) -> None:
    with pytest.raises(InvalidRequest, match="x-user-id"):
        await project.authenticator.authenticate({"x-railway-secret": SERVICE_SECRET})


async def test_no_refusal_repeats_a_secret_or_the_token(project: Project) -> None:
    attacks = project.forge.attacks(USER, service_secret=SERVICE_SECRET)

    for attack in attacks:
        with pytest.raises(HeavyError) as refusal:
            await project.authenticator.authenticate(headers_of(attack))
        text = refusal.value.detail
        assert SERVICE_SECRET not in text
        assert JWT_SECRET not in text
        assert project.forge.issuer not in text
        assert attack.token is None or len(attack.token) < 20 or attack.token not in text


async def test_many_callers_at_once_are_all_proved(project: Project) -> None:
    users = [uuid4() for _ in range(50)]
    tokens = [project.forge.token(user) for user in users]

    callers = await asyncio.gather(*(project.authenticator.verify(token) for token in tokens))

    assert [caller.user_id for caller in callers] == users
