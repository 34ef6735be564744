"""Requests that the API's description allows or forbids, by schemathesis, as one caller after another."""

from __future__ import annotations

import asyncio
import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch
from uuid import UUID

from routing import examples
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.explorer import PHASES, Caller, Exploration, explore
from tests.support.judge import Judge
from tests.support.process import ServerProcess

__all__ = ["FAULT", "answer_too_little"]

SECRET = "the-service-secret-of-explorers-0123456789"
METRICS = "the-metrics-token-of-explorers"
# So few are for a look at every operation once; generated cases come with more.
FEW = 200

# Any: JSON documents.
Document = dict[str, Any]


async def perform(ground: Ground, findings: Findings) -> None:
    """At least N requests; a hit is one that was answered and judged."""
    async with ground.replica(RAILWAY_BACKEND_SECRET=SECRET, METRICS_TOKEN=METRICS) as server:
        owner = await ground.person()
        token = ground.token(owner)
        server.client.headers["authorization"] = f"Bearer {token}"
        described = (await server.client.get("/openapi.json")).json()
        real = await _things(ground, server, owner)
        judge = Judge(described, secrets=[SECRET, METRICS, token])
        settled = _settled(described, real)
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as beside:
            for number, caller in enumerate(itertools.cycle(_callers(token, owner))):
                if findings.hits >= ground.n:
                    break
                turn = Exploration(
                    url=str(server.client.base_url).rstrip("/"),
                    document=settled,
                    caller=caller,
                    seed=ground.dice.randrange(10**6),
                    max_examples=max(8, ground.n // 250),
                    real=real,
                    judge=judge,
                    phases=PHASES[:1] if ground.n <= FEW else PHASES if number == 0 else PHASES[2:],
                )
                _count(await loop.run_in_executor(beside, explore, turn), findings)
        findings.expect(await server.is_ready(), "the server is not ready any more")


# Any: what an exploration found; its class is of a process of its own.
def _count(found: Any, findings: Findings) -> None:
    findings.hit(found.total)
    for (operation, status), times in found.sent.items():
        is_ours = status >= 500
        findings.expect(not is_ours, f"{operation} was answered with {status}, {times} times")
    for failure in found.failures:
        findings.violated(failure[:1_000])


async def _things(ground: Ground, server: ServerProcess, owner: UUID) -> dict[str, list[str]]:
    """One of each thing that a request may name, by the parameter it is for."""
    agent = str(await ground.agent(owner))

    async def made(path: str, document: Document) -> Document:
        answer: Document = (await server.client.post(path, json=document)).json()
        return answer

    body = {"agentId": agent, "messages": [], "input": {"chunks": ["a"], "files": {"a.txt": "hello"}}}
    runs = [(await made("/api/agent/execute", body))["runId"] for _ in range(3)]
    conversation = (await made("/api/conversations", {}))["conversationId"]
    keys = [(await made("/api/keys", {"name": name}))["id"] for name in "ab"]
    return {
        "path.run_id": runs,
        "path.conversation_id": [conversation],
        "path.key_id": keys,
        "path.agent_id": [agent],
        "path.name": ["a.txt"],
        "query.before": runs,
        "body.agentId": [agent],
        "body.conversationId": [conversation],
        "body.userId": [str(owner)],
    }


def _settled(described: Document, real: dict[str, list[str]]) -> Document:
    """The description with these things in the place of those its examples tell of."""
    story = {
        examples.RUN_ID: real["path.run_id"][0],
        examples.AGENT_ID: real["path.agent_id"][0],
        examples.CONVERSATION_ID: real["path.conversation_id"][0],
        examples.KEY_ID: real["path.key_id"][0],
        examples.FILE_NAME: "a.txt",
    }
    text = json.dumps(described)
    for told, thing in story.items():
        text = text.replace(told, thing)
    found: Document = json.loads(text)
    return found


def _callers(token: str, owner: UUID) -> list[Caller]:
    user = {"user": {"bearer": token}, "metrics": {"bearer": METRICS}}
    service = {"service": {"api_key": SECRET}, "serviceUser": {"api_key": str(owner)}}
    return [
        Caller("the owner", user),
        Caller("the owner, who wants pages", user, accept="application/json"),
        Caller("the service", service, accept="text/event-stream"),
        Caller("nobody"),
    ]


def answer_too_little() -> None:
    """Leave the name of the request out of problems, which the description promises."""
    patch("routing.problems.request_id_of", lambda _: "").start()


FAULT = Fault(
    name="explore",
    promise="what the API's description allows and forbids: no 5xx, no other answers, every 4xx a problem",
    full_n=20_000,
    small_n=60,
    perform=perform,
    mutations=(
        Mutation(
            "nameless-problems",
            removes="the request's name from problems",
            patch="tests.hardening.faults.explore:answer_too_little",
            n=300,
        ),
    ),
)
