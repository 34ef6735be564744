"""One round of everything that goes wrong and well in a server, with a canary wherever one can be planted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from starlette.types import Send

from tests.support.canaries.planted import Planted
from tests.support.mcp_server import McpHost, Script, answer, offering
from tests.support.model import Call, ModelProcess, Rule
from tests.support.process import NO_TLS, ServerProcess
from tests.support.sockets import opened
from tests.support.tables import Connection
from tests.support.tokens import ABSENT, TokenForge
from tests.support.web import Web

__all__ = ["Scene"]

# Any: JSON of the wire.
Document = dict[str, Any]
SENDS = ("cookie", "user-agent", "x-forwarded-for", "referer", "x-note", "prefer", "tracestate", "baggage")
UNTAKEN = ("accept-language", "if-match", "origin", "forwarded", "x-real-ip", "proxy-authorization")


@dataclass
class Scene:
    """
    Attributes:
        shown: every answer somebody got, and whether it was the one whose things they are.
    """

    planted: Planted
    server: ServerProcess
    model: ModelProcess
    web: Web
    mcp: McpHost
    sql: Connection
    forge: TokenForge
    shown: list[tuple[bytes, bool]]

    @staticmethod
    def mcp_script(planted: Planted) -> Script:
        """A server of tools that repeats the key it was sent, in an answer and in an error."""

        async def on_call(message: Document, send: Send) -> None:
            key, word = planted.secret("the header of an MCP server"), planted.word("what an MCP tool says")
            if message["params"]["name"] == "tell":
                content = [{"type": "text", "text": f"{word} {key}"}]
                await answer(send, message, result={"resultType": "complete", "content": content})
            else:
                await answer(send, message, status=400, error={"code": 7, "message": f"not with {key}"})

        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("tell", "fail")]
        return offering(*tools, on_call=on_call)

    async def play(self, user: UUID) -> None:
        token = self.planted.secret("the token of the user", self.forge.token(user))
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=self.server.client.base_url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS
        ) as client:
            await self._chat(client, user)
            await self._break(client, user)
            await self._keys(client)
            await self._knock(token)
        await self._sign_in(user, token)

    async def _chat(self, client: httpx2.AsyncClient, user: UUID) -> None:
        """Runs with tools, with a provider that fails for a while, and with one that fails for good."""
        agent = await self._agent(user)
        await self._pages()
        for rules in (self._tools(), self._passing(), self._refused(), self._midway()):
            await self.model.play(*rules)
            body = {
                "agentId": str(agent),
                "messages": [{"role": "user", "content": self.planted.word("a question")}],
                "input": {"note": self.planted.word("an input")},
                "metadata": {"note": self.planted.word("metadata")},
            }
            key = self.planted.secret(f"an idempotency key {len(self.shown)}")
            run = await self._told(
                client, "POST", "/api/agent/execute", json=body, headers={"idempotency-key": key}
            )
            if run_id := run.get("runId"):
                for path in ("", "/receipt", "/events"):
                    await self._told(client, "GET", f"/api/runs/{run_id}{path}")

    async def _agent(self, user: UUID) -> UUID:
        entry = {
            "type": "mcp",
            "name": "desk",
            "url": self.mcp.url,
            "headers": {"authorization": self.planted.secret("the header of an MCP server")},
        }
        agent: UUID = await self.sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, tools, system_prompt)"
            " values ($1, 'Chat', 'chat', true, $2, $3) returning id",
            user,
            ["http_fetch", entry],
            self.planted.secret("a system prompt"),
        )
        return agent

    async def _pages(self) -> None:
        word = self.planted.word
        page = f"<title>{word('the title of a page')}</title><p>{word('a page')}".encode()
        self.web.reply(
            "/page",
            page,
            headers={
                "content-type": "text/html",
                "set-cookie": f"a={self.planted.secret('a cookie of a page')}",
                "x-powered-by": self.planted.secret("a header of a page"),
            },
        )
        target = f"/page?q={word('the token of a redirect')}"
        self.web.reply("/away", status=302, headers={"location": target})

    def _tools(self) -> list[Rule]:
        url = f"{self.web.url}/away?q={self.planted.word('an argument of a tool')}"
        calls: list[Call] = [
            {"name": "http_fetch", "arguments": {"url": url}},
            {
                "name": "http_fetch",
                "arguments": {"url": f"http://10.0.0.1/{self.planted.word('a blocked path')}"},
            },
            {"name": "http_fetch", "arguments": f"{{{self.planted.word('broken arguments')}"},
            {"name": self.planted.word("a tool nobody has"), "arguments": {}},
            {"name": "desk__tell", "arguments": {}},
            {"name": "desk__fail", "arguments": {}},
        ]
        first: Rule = {"when": {"role": "user"}, "reply": {"text": "I look.", "tool_calls": calls}}
        return [first, {"reply": {"text": self.planted.word("what the model answers")}}]

    def _passing(self) -> list[Rule]:
        secret = self.planted.secret
        error = {"message": secret("a provider's message"), "type": secret("a provider's type")}
        return [
            {"times": 1, "reply": {"fault": {"kind": "status", "status": 503, "error": error}}},
            {"reply": {"text": "It works again."}},
        ]

    def _refused(self) -> list[Rule]:
        secret = self.planted.secret
        error = {
            "message": f"key {secret('a key the provider repeats')}",
            "param": secret("a provider's param"),
        }
        headers = {"x-request-id": secret("a provider's header"), "www-authenticate": secret("a challenge")}
        return [{"reply": {"fault": {"kind": "status", "status": 401, "error": error, "headers": headers}}}]

    def _midway(self) -> list[Rule]:
        self.planted.secret("an error in a stream", "a secret of the provider")
        text = f"<html>{self.planted.secret('a page of a provider')}</html>"
        broken: Rule = {"times": 1, "reply": {"text": "a b c d", "fault": {"kind": "error", "after": 0.5}}}
        page: Rule = {"reply": {"fault": {"kind": "status", "status": 400, "text": text}}}
        return [broken, page]

    async def _break(self, client: httpx2.AsyncClient, user: UUID) -> None:
        """What is our own fault is reported, by somebody whose every header is a canary."""
        echo = await self.sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy) values ($1, 'Echo', 'echo', true)"
            " returning id",
            user,
        )
        headers = {name: self.planted.secret(f"the header {name}") for name in (*SENDS, *UNTAKEN)}
        body = {"agentId": str(echo), "messages": [{"role": "user", "content": self.planted.word("a cause")}]}
        bug = {"bug": True, "chunks": [self.planted.word("what an agent says")]}
        run = await self._told(
            client, "POST", "/api/agent/execute", json={**body, "input": bug}, headers=headers
        )
        await self.sql.execute("alter function public.switchyard_runs_cancel rename to nobody_calls_this")
        await self._told(client, "POST", f"/api/runs/{run['runId']}/cancel", headers=headers)
        await self.sql.execute("alter function public.nobody_calls_this rename to switchyard_runs_cancel")
        strange = self.planted.word("a field nobody knows")
        await self._told(client, "POST", "/api/agent/execute", json={**body, strange: 1}, headers=headers)
        await self._told(client, "GET", f"/api/runs?limit={self.planted.word('a limit')}", headers=headers)

    async def _keys(self, client: httpx2.AsyncClient) -> None:
        """A key is shown once, to whoever has made it; that answer is not looked at."""
        for name in ("a key", "a revoked key"):
            made = (
                await client.post("/api/keys", json={"name": self.planted.word("the name of a key")})
            ).json()
            key = self.planted.secret(name, made["key"])
            if name == "a revoked key":
                await self._told(client, "DELETE", f"/api/keys/{made['id']}")
            await self._stranger("GET", "/api/runs", {"x-api-key": key}, is_owner=name == "a key")
        await self._told(client, "GET", "/api/keys")
        await self._told(
            client,
            "POST",
            "/api/conversations",
            json={"title": self.planted.word("the title of a conversation")},
        )

    async def _knock(self, token: str) -> None:
        """Credentials that are none."""
        secret = self.planted.secret
        user = {"x-user-id": secret("a user id that is none")}
        for headers in (
            {"authorization": f"Basic {secret('a password in base64')}"},
            {"authorization": f"Bearer {secret('a token that is none')}"},
            {"x-api-key": f"sy_{secret('an unknown key')}"},
            {"x-railway-secret": secret("a wrong service secret"), **user},
            {"x-railway-secret": secret("RAILWAY_BACKEND_SECRET"), **user},
        ):
            await self._stranger("GET", "/api/runs", headers)
        in_address = secret("a token in an address")
        for path in (
            f"/api/runs/{UUID(int=1)}/events",
            "/api/credits",
            f"/nowhere/{secret('a path')}",
            "/metrics",
        ):
            await self._stranger("GET", f"{path}?token={in_address}&q={secret('a query')}", {})
        await self._stranger("GET", f"/api/runs/{UUID(int=1)}/events?token={token}", {}, is_owner=True)

    async def _sign_in(self, user: UUID, token: str) -> None:
        """Tokens of all kinds, over HTTP and to sockets."""
        secret = self.planted.secret
        changes: dict[str, Document] = {
            "an expired token": {"exp": 1, "email": secret("a claim of a token")},
            "a token of another issuer": {"iss": secret("an issuer")},
            "a token without a subject": {"sub": ABSENT, "session_id": secret("a session")},
        }
        tokens = [secret(name, self.forge.token(user, each)) for name, each in changes.items()]
        for each in tokens:
            await self._stranger("GET", "/api/runs", {"authorization": f"Bearer {each}"})
        url = str(self.server.client.base_url).rstrip("/")
        openings: list[tuple[list[str], str, str | None]] = [
            (["switchyard.v1", f"jwt-{tokens[0]}"], "", None),
            (["switchyard.v1", f"jwt-{secret('a subprotocol')}"], "", None),
            ([], f"?token={secret('a token in the address of a socket')}", None),
            ([], "", secret("a token in a message")),
            ([], f"?token={token}&note={secret('a note in the address of a socket')}", None),
        ]
        for protocols, query, said in openings:
            async with opened(url, protocols=protocols, query=query) as client:
                if said is not None:
                    await client.say("auth", token=said)
                self.shown.append((str(await client.hear()).encode(), False))

    async def _told(
        self, client: httpx2.AsyncClient, method: str, path: str, **asked: Any
    ) -> Document:  # Any: httpx2's
        """Ask as the owner."""
        answer = await client.request(method, path, **asked)
        self._show(answer, is_owner=True)
        document: Document = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        return document

    async def _stranger(
        self, method: str, path: str, headers: dict[str, str], *, is_owner: bool = False
    ) -> None:
        self._show(await self.server.client.request(method, path, headers=headers), is_owner=is_owner)

    def _show(self, answer: httpx2.Response, *, is_owner: bool) -> None:
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.shown.append((head.encode() + b"\n" + answer.content, is_owner))
