"""Canary secrets, planted wherever a server is told one, and looked for wherever it tells anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import UUID

from heavy_agents.tools.mcp.text import Blotter
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.canaries import Planted, Scene
from tests.support.collector import Collector, serve_collector
from tests.support.mcp_server import McpHost, serve_script
from tests.support.project import KEYS_PATH
from tests.support.sentry import Sentry, serve_sentry
from tests.support.tokens import TokenForge
from tests.support.web import Web, serve_web

__all__ = ["FAULT", "blot_nothing", "let_libraries_talk"]

# What there is at least; more by some headers and settings.
PROMISED = 50
PUBLIC = ("/metrics", "/metrics/summary", "/health", "/health/readiness", "/openapi.json")


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a canary that was planted; each of N rounds plants others."""
    for number in range(ground.n):
        planted = Planted(ground.dice)
        log_file = ground.folder / f"log-{number}"
        async with _around(planted) as around:
            await _round(ground, planted, around, log_file=log_file, findings=findings)
        findings.hit(len(planted.secrets) + len(planted.words))
        findings.expect(len(planted.secrets) >= PROMISED, f"only {len(planted.secrets)} secrets were planted")


class Around:
    """What a server talks to, outside of it."""

    def __init__(self, project: Web, web: Web, mcp: McpHost, *, collector: Collector, sentry: Sentry) -> None:
        self.project, self.web, self.mcp = project, web, mcp
        self.collector, self.sentry = collector, sentry


@asynccontextmanager
async def _around(planted: Planted) -> AsyncIterator[Around]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        yield Around(
            await enter(serve_web()),
            await enter(serve_web()),
            await enter(serve_script(Scene.mcp_script(planted))),
            collector=await enter(serve_collector()),
            sentry=await enter(serve_sentry()),
        )


async def _round(
    ground: Ground, planted: Planted, around: Around, *, log_file: Path, findings: Findings
) -> None:
    forge = TokenForge(issuer=f"{around.project.url}/auth/v1")
    around.project.reply(KEYS_PATH, json.dumps(forge.jwks()).encode())
    settings = _settings(ground, planted, around)
    shown: list[tuple[bytes, bool]] = []
    user: UUID = await ground.person()
    async with ground.replica(log_file=log_file, **settings) as server:
        scene = Scene(planted, server, ground.model, around.web, around.mcp, ground.sql, forge, shown)
        await scene.play(user)
        await around.sentry.until_told("request_failed")
        await around.sentry.until_told("agent_failed")
        bearer = {"authorization": f"Bearer {settings['METRICS_TOKEN']}"}
        shown += [((await server.client.get(path, headers=bearer)).content, False) for path in PUBLIC]
        await server.terminate(within_s=40)
    log = await asyncio.to_thread(log_file.read_bytes)
    _look(planted, around, [*shown, (log, False)], findings=findings)
    findings.figure("answers_looked_at", len(shown))
    findings.figure("log_bytes", len(log))


def _look(planted: Planted, around: Around, shown: list[tuple[bytes, bool]], *, findings: Findings) -> None:
    """Everything that was told, and whether it was told to the one whose it is."""
    findings.expect(len(around.collector.spans) > 20, "no traces have arrived")
    for text, is_owners in shown:
        for name in planted.found(text, is_owners=is_owners):
            where = f"{text[:60]!r}" if len(text) < 50_000 else "the log"
            findings.violated(f"{name} is in {where}")
    for where, sent in (("a trace", around.collector.bodies), ("a report", around.sentry.bodies)):
        for name in planted.found(sent, is_owners=False):
            findings.violated(f"{name} is in {where}")
    owned = b"".join(text for text, is_owners in shown if is_owners)
    for name in ("a page", "what an MCP tool says", "what the model answers"):
        findings.expect(planted.words[name].encode() in owned, f"{name} was not shown to its owner")


def _settings(ground: Ground, planted: Planted, around: Around) -> dict[str, str]:
    secret = planted.secret
    secret("the password of the database", urlsplit(ground.url).password)
    secret("SENTRY_DSN", urlsplit(around.sentry.dsn).username)
    secret("OPENAI_API_KEY", ground.settings["OPENAI_API_KEY"])
    return {
        "LOG_LEVEL": "debug",
        "SUPABASE_URL": around.project.url,
        "SUPABASE_JWT_SECRET": secret("SUPABASE_JWT_SECRET"),
        "RAILWAY_BACKEND_SECRET": secret("RAILWAY_BACKEND_SECRET"),
        "METRICS_TOKEN": secret("METRICS_TOKEN"),
        "REDIS_URL": f"redis://user:{secret('the password of REDIS_URL')}@127.0.0.1:1/0",
        "SENTRY_DSN": around.sentry.dsn,
        "OTEL_EXPORTER_OTLP_ENDPOINT": around.collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-team={secret('a header for the collector')}",
        "FETCH_PRIVATE_HOSTS": f"127.0.0.1:{around.web.port}",
        "MCP_SERVERS": around.mcp.origin,
    }


def blot_nothing() -> None:
    """Pass on what a tool says as it is, with the headers it was sent."""
    patch.object(Blotter, "text", lambda _, text: text).start()


def let_libraries_talk() -> None:
    """Write down what HTTP libraries say of what they send and get."""
    patch("foundation.telemetry.logs.TALKATIVE", ()).start()


FAULT = Fault(
    name="canaries",
    promise="50 canary secrets appear in no log, event, metric, answer, trace or report",
    full_n=20,
    small_n=1,
    perform=perform,
    mutations=(
        Mutation(
            "unblotted-tools",
            removes="the look for our own secrets in what a tool says",
            patch="tests.hardening.faults.canaries:blot_nothing",
        ),
        Mutation(
            "talkative-libraries",
            removes="the silence of the HTTP libraries",
            patch="tests.hardening.faults.canaries:let_libraries_talk",
        ),
    ),
)
