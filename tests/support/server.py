"""The real backend on loopback: its app under uvicorn, its services started, a Supabase project beside it.

Tests share a server and are kept apart by their users: `person` makes one with an account and a token.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import uvicorn
from fastapi import FastAPI

import railway_server
from foundation.settings import Settings
from routing import SOCKET_PROTOCOL, HttpProtocol
from tests.support.agents import EchoAgent
from tests.support.sql import Connection, connected
from tests.support.tokens import TokenForge
from tests.support.web import Web, serve_web

__all__ = [
    "METRICS_TOKEN",
    "ORIGIN",
    "SERVICE_SECRET",
    "Document",
    "Person",
    "TestServer",
    "assert_problem",
    "messages",
    "running_server",
    "served",
    "until",
]

SERVICE_SECRET = "the-service-secret-of-these-tests-0123456789"
METRICS_TOKEN = "the-metrics-token-of-these-tests"
ORIGIN = "https://app.example"
JWKS_PATH = "/auth/v1/.well-known/jwks.json"

# It is plain HTTP, and to load the certificates of this machine takes longer than most requests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

# Any: JSON documents, whose shape each test knows.
Document = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """A user with a client of their own, who may run `agent_id`."""

    id: UUID
    token: str
    client: httpx2.AsyncClient
    agent_id: UUID

    def body(self, input_: Document | None = None, **changes: object) -> Document:
        return {
            "agentId": str(self.agent_id),
            "messages": [{"role": "user", "content": "hello"}],
            "input": input_ or {},
            **changes,
        }

    async def execute(
        self, input_: Document | None = None, *, headers: Document | None = None, **changes: object
    ) -> httpx2.Response:
        return await self.client.post(
            "/api/agent/execute", json=self.body(input_, **changes), headers=headers or {}
        )

    async def started(self, input_: Document | None = None) -> str:
        """The id of a run that is accepted and perhaps still going on."""
        answer = await self.execute(input_, headers={"Prefer": "respond-async"})
        assert answer.status_code in {200, 202}, answer.text
        return str(answer.json()["runId"])

    async def ended(self, input_: Document | None = None) -> str:
        """The id of a run that has succeeded."""
        answer = await self.execute(input_)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["runId"])


class TestServer:
    __test__ = False

    def __init__(
        self,
        url: str,
        *,
        forge: TokenForge,
        echo: EchoAgent,
        sql: Connection,
        backend: railway_server.Backend,
    ) -> None:
        self.url = url
        self.forge = forge
        self.echo = echo
        self.sql = sql
        self.backend = backend

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """Somebody without credentials, unless `headers` are some."""
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=20, trust_env=False, verify=NO_TLS
        )

    @asynccontextmanager
    async def person(self, *, balance: int = 1000, plan: str = "enterprise") -> AsyncIterator[Person]:
        user_id = uuid4()
        await self.sql.execute("insert into auth.users (id, email) values ($1, $2)", user_id, f"{user_id}@x")
        await self.sql.execute(
            "insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, $3)",
            user_id,
            balance,
            plan,
        )
        token = self.forge.token(user_id)
        async with self.client(authorization=f"Bearer {token}") as client:
            yield Person(user_id, token, client, await self.agent(user_id))

    async def agent(self, owner: UUID, *, price: Document | None = None, is_published: bool = False) -> UUID:
        """An echo agent of `owner`; 1 credit a run unless `price` says otherwise."""
        agent_id: UUID = await self.sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, is_published, price)"
            " values ($1, 'Echo', 'echo', true, $2, $3) returning id",
            owner,
            is_published,
            price or {"flat": 1},
        )
        return agent_id

    async def counts(self) -> dict[str, int]:
        """How many rows each table that a run touches has."""
        tables = ("runs", "events", "steps", "blobs", "ledger", "request_keys")
        return {
            table: await self.sql.fetchval(f"select count(*) from switchyard.{table}")  # noqa: S608
            for table in tables
        }


@asynccontextmanager
async def running_server(database_url: str, **settings: object) -> AsyncIterator[TestServer]:
    """
    Args:
        settings: variables in lower case, besides those of a project in production order.
    """
    async with serve_web() as project:
        forge = TokenForge(issuer=f"{project.url}/auth/v1")
        project.reply(JWKS_PATH, json.dumps(forge.jwks()).encode())
        echo = EchoAgent()
        backend = railway_server.build(
            _settings(project, DATABASE_URL=database_url, **{n.upper(): v for n, v in settings.items()}),
            extra_kinds=[echo],
        )
        await backend.lifecycle.start()
        try:
            async with connected(database_url) as sql, served(backend.app) as url:
                yield TestServer(url, forge=forge, echo=echo, sql=sql, backend=backend)
        finally:
            await backend.lifecycle.drain(within_s=5)
            await backend.lifecycle.stop()


def _settings(project: Web, **variables: object) -> Settings:
    defaults: dict[str, object] = {
        "SUPABASE_URL": project.url,
        "RAILWAY_BACKEND_SECRET": SERVICE_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
        "ALLOWED_ORIGINS": ORIGIN,
        "REQUESTS_PER_MINUTE": 100_000,
        "DATABASE_POOL": 8,
    }
    return Settings(_env_file=None, **(defaults | variables))  # type: ignore[arg-type]


def messages(stream: str) -> list[Document]:
    """The `data` of every event of a stream, read as a browser would; each must carry its number as id."""
    found: list[Document] = []
    for block in stream.split("\n\n"):
        fields = [
            line.partition(": ")[::2] for line in block.split("\n") if line and not line.startswith(":")
        ]
        named = dict(fields)
        if "data" in named:
            found.append(json.loads(named["data"]))
            assert named.get("event") or int(named["id"]) == found[-1]["seq"]
    return found


def assert_problem(answer: httpx2.Response, status: int, code: str) -> Document:
    """The problem document of `answer`, which is complete and has this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: Document = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:switchyard:error:{code}"
    assert document["requestId"] == answer.headers["x-request-id"]
    assert document["error"] == document["title"]
    assert document["message"] == document["detail"]
    return document


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 5.0) -> None:
    """Return once `holds` does."""
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """`app` as the server serves it, until the block ends; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # As in production, where the loop sets it; without it some clients wait 40 ms for a body.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws=SOCKET_PROTOCOL,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        # `serve` would take over the signals of the test process.
        running = asyncio.create_task(server._serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await running
