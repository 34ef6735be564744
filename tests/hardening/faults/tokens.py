"""Forged, stolen, broken and outlived tokens, by every way that a token may come in."""

from __future__ import annotations

import json
import time
from unittest.mock import patch
from urllib.parse import quote
from uuid import UUID

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.project import KEYS_PATH
from tests.support.raw import exchange, request_head
from tests.support.sockets import opened
from tests.support.state import State, changes
from tests.support.tokens import Attack, TokenForge
from tests.support.web import Web, serve_web

__all__ = ["FAULT", "forget_times", "trust_headers"]

SECRET = "the-service-secret-of-forged-tokens-0123456789"
COOLDOWN_S = 30
# Beyond this the opening of a socket, a head or a message is refused before anybody looks for a token.
LONG = 7_000


async def perform(ground: Ground, findings: Findings) -> None:
    """N attacks, each by HTTP, SSE and WebSocket; a hit is one that was made."""
    async with serve_web() as project, serve_web() as canary:
        forge = TokenForge(issuer=f"{project.url}/auth/v1")
        project.reply(KEYS_PATH, json.dumps(forge.jwks()).encode(), headers={"cache-control": "max-age=60"})
        person = await ground.person()
        began_s = time.monotonic()
        async with ground.replica(SUPABASE_URL=project.url, RAILWAY_BACKEND_SECRET=SECRET) as server:
            url = str(server.client.base_url).rstrip("/")
            state = await State.of(ground.sql)
            before = await state.read()
            attacks = forge.attacks(person, canary_url=canary.url, service_secret=SECRET)
            for _ in range(ground.n):
                await _attack(url, ground.dice.choice(attacks), findings)
            for table in changes(before, await state.read()):
                findings.violated(f"{table} has changed")
            await _without_keys(url, forge, person, project, findings=findings)
        fetches, most = len(project.asked_for(KEYS_PATH)), 2 + (time.monotonic() - began_s) / COOLDOWN_S
        findings.expect(fetches <= most, f"the keys were fetched {fetches} times")
        findings.expect(canary.asked == [], "a key of an attacker was fetched")
        findings.figure("attacks", len(attacks))


async def _attack(url: str, attack: Attack, findings: Findings) -> None:
    for path, accept in (("", "application/json"), ("/events", "text/event-stream")):
        lines = [*attack.headers, ("accept", accept)]
        answer = await exchange(url, request_head("GET", f"/api/runs/{UUID(int=1)}{path}", lines))
        findings.hit()
        if answer is None:
            findings.expect(len(attack.token or "") > LONG, f"{attack}: no answer")
            continue
        findings.expect(answer.status_code in attack.statuses, f"{attack}: {answer.status_code} {accept}")
        problem = answer.headers.get("content-type") == "application/problem+json"
        findings.expect(problem, f"{attack}: {answer.headers.get('content-type')}")
    if attack.token is not None:
        for way in ("query", "message"):
            findings.hit()
            told = await _socket(url, attack.token, way)
            is_refused = told == "invalid_token" or (len(attack.token) > LONG and told in {"shut", "closed"})
            findings.expect(is_refused, f"{attack} by {way}: {told}")


async def _socket(url: str, token: str, way: str) -> str:
    """The code of the refusal, or what came in its place."""
    try:
        async with opened(url, query=f"?token={quote(token)}" if way == "query" else "") as client:
            if way == "message":
                await client.say("auth", token=token)
            heard = await client.hear()
            return str(heard.get("code", heard["type"]))
    except (InvalidHandshake, ConnectionError, EOFError):
        return "shut"
    except ConnectionClosed:
        return "closed"


async def _without_keys(
    url: str, forge: TokenForge, person: UUID, project: Web, *, findings: Findings
) -> None:
    """The project is away, and whoever has a known key goes on."""
    project.reply(KEYS_PATH, b"x" * 300_000, status=503)
    good = forge.token(person)
    answer = await exchange(url, request_head("GET", "/api/credits", [("authorization", f"Bearer {good}")]))
    findings.expect(answer is not None and answer.status_code == 200, "a known key is refused")
    findings.hit()
    findings.expect(await _socket(url, good, "query") == "connected", "a known key opens no socket")


def forget_times() -> None:
    """Take tokens whatever their times are."""
    patch("foundation.identity.claims.check_times", lambda _, now_s: now_s + 3600).start()


def trust_headers() -> None:
    """Take tokens without a look at who has signed them."""
    import jwt

    def unsigned(token: str, *_: object, **__: object) -> object:
        return jwt.decode(token, options={"verify_signature": False})

    patch("foundation.identity.authenticate.verify_signature", unsigned).start()


FAULT = Fault(
    name="tokens",
    promise="every attack on a token is refused by HTTP, SSE and WebSocket; 0 keys of attackers are fetched",
    full_n=5_000,
    small_n=80,
    perform=perform,
    mutations=(
        Mutation(
            "no-times",
            removes="the look at exp, nbf and iat",
            patch="tests.hardening.faults.tokens:forget_times",
        ),
        Mutation(
            "no-signatures",
            removes="the look at signatures",
            patch="tests.hardening.faults.tokens:trust_headers",
        ),
    ),
)
