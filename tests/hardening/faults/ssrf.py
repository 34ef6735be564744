"""Addresses of inside, at every door by which a server is told where to go."""

from __future__ import annotations

import gzip
import json
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import patch
from uuid import UUID

from foundation.errors import Json
from foundation.outbound.addresses import Address, Reach, reach
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.model import Call
from tests.support.process import ServerProcess
from tests.support.project import KEYS_PATH
from tests.support.sentry import serve_sentry
from tests.support.tokens import TokenForge
from tests.support.traps import Traps, set_traps
from tests.support.web import Web, serve_web

__all__ = ["FAULT", "call_this_machine_public"]

# Any: messages of the wire.
Document = dict[str, Any]
CALLS_A_RUN = 15


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is an address that a server was told; a trap that is touched is a violation."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        traps, web, project = await enter(set_traps()), await enter(serve_web()), await enter(serve_web())
        sentry = await enter(serve_sentry())
        doors = _Doors(ground, findings, traps, web)
        forge = TokenForge(issuer=f"{project.url}/auth/v1")
        project.reply(KEYS_PATH, json.dumps(forge.jwks()).encode())
        settings = {
            "SUPABASE_URL": project.url,
            "FETCH_PRIVATE_HOSTS": f"127.0.0.1:{web.port}",
            "MCP_SERVERS": "*",
            "OTEL_EXPORTER_OTLP_ENDPOINT": web.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "SENTRY_DSN": sentry.dsn,
        }
        server = await enter(ground.replica(log_file=None, **settings))
        for watcher, path in ((web, "/v1/traces"), (sentry.web, "/api/1/envelope/")):
            watcher.reply(path, status=307, headers={"location": traps.url(ground.dice)})
        while findings.hits < ground.n:
            # Somebody new in each round: three runs at once soon reach what a plan allows in a minute.
            person = await ground.person()
            headers = {"Authorization": f"Bearer {forge.token(person)}"}
            await doors.tools(server, person, headers)
            await doors.mcp(server, person, headers)
            await doors.railway_url(server, person, headers)
        await doors.keys(project, forge)
    for touched in traps.touched:
        findings.violated(f"somebody came to {touched}")


class _Doors:
    def __init__(self, ground: Ground, findings: Findings, traps: Traps, web: Web) -> None:
        self._ground, self._findings, self._traps, self._web = ground, findings, traps, web

    async def tools(self, server: ServerProcess, person: UUID, headers: dict[str, str]) -> None:
        """A model that asks for addresses, for pages that redirect to them, and for what has no end."""
        web, dice = self._web, self._ground.dice
        web.reply("/bomb", gzip.compress(bytes(20_000_000)), headers={"content-encoding": "gzip"})
        urls = [self._traps.url(dice) for _ in range(CALLS_A_RUN - 5)]
        for number in range(4):
            location = self._traps.url(dice).split("\r")[0].encode("ascii", "ignore").decode()
            web.reply(f"/away{number}", status=dice.choice([301, 302, 307]), headers={"location": location})
            urls.append(f"{web.url}/away{number}")
        urls.append(f"{web.url}/bomb")
        calls: list[Call] = [{"name": "http_fetch", "arguments": {"url": url}} for url in urls]
        await self._ground.model.play(
            {"when": {"role": "user"}, "reply": {"tool_calls": calls}}, {"reply": {"text": "done"}}
        )
        agent = await self._ground.agent(person, kind="chat", tools=["http_fetch"])
        told = await self._events(server, agent, headers)
        results = [each for each in told if each["type"] == "tool_result"]
        asked = {each["step"]: each["arguments"] for each in told if each["type"] == "tool_call"}
        self._findings.hit(len(results))
        self._findings.expect(len(results) == CALLS_A_RUN, f"only {len(results)} tools were called")
        for result in results:
            # A redirect to `http:///host` is one to a path of the same server, as we read it.
            is_home = result["ok"] and result["result"]["text"] == "nothing here"
            self._findings.expect(is_home or not result["ok"], f"{asked[result['step']]}: {result}")

    async def mcp(self, server: ServerProcess, person: UUID, headers: dict[str, str]) -> None:
        """Rows of agents that name a server of tools inside."""
        url = self._traps.url(self._ground.dice, scheme="https")
        entry: Json = {"type": "mcp", "name": "inside", "url": url}
        agent = await self._ground.agent(person, kind="chat", tools=[entry])
        told = await self._events(server, agent, headers)
        self._findings.hit()
        ends = [each["type"] for each in told]
        self._findings.expect("done" not in ends, f"an agent has run with the tools of {url!r}")

    async def railway_url(self, server: ServerProcess, person: UUID, headers: dict[str, str]) -> None:
        """Rows of agents that name a backend of their own."""
        agent = await self._ground.agent(person)
        url = self._traps.url(self._ground.dice)
        await self._ground.sql.execute("update public.agents set railway_url = $2 where id = $1", agent, url)
        await self._events(server, agent, headers)
        self._findings.hit()

    async def keys(self, project: Web, forge: TokenForge) -> None:
        """A project whose keys are said to be elsewhere, for a server that knows none yet."""
        location = self._traps.url(self._ground.dice).split("\r")[0].encode("ascii", "ignore").decode()
        project.reply(KEYS_PATH, status=302, headers={"location": location})
        stranger = TokenForge(issuer=forge.issuer)
        token = stranger.token(UUID(int=7), algorithm="RS256")
        async with self._ground.replica(SUPABASE_URL=project.url) as fresh:
            answer = await fresh.client.get("/api/credits", headers={"Authorization": f"Bearer {token}"})
        self._findings.hit()
        self._findings.expect(not answer.is_success, f"a stranger's token was taken: {answer.text}")

    async def _events(self, server: ServerProcess, agent: UUID, headers: dict[str, str]) -> list[Document]:
        body = {"agentId": str(agent), "messages": [{"role": "user", "content": "go"}], "stream": True}
        answer = await server.client.post("/api/agent/execute", json=body, headers=headers)
        if not answer.headers["content-type"].startswith("text/event-stream"):
            return [answer.json() | {"type": "refused"}]
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line) for line in lines]


def call_this_machine_public() -> None:
    """Take this machine for a public one; the rest of the table stays, so that nothing else is asked."""

    def reach_of(address: Address) -> Reach:
        return Reach.PUBLIC if address.is_loopback else reach(address)

    patch("foundation.outbound.targets.reach", reach_of).start()


FAULT = Fault(
    name="ssrf",
    promise="no address of inside is asked, however it is written, by tools, rows, keys or watchers",
    full_n=2_000,
    small_n=34,
    perform=perform,
    mutations=(
        Mutation(
            "open-machine",
            removes="loopback from the table of addresses",
            patch="tests.hardening.faults.ssrf:call_this_machine_public",
            n=100,
        ),
    ),
)
