"""That the server does what its description says, tried with hundreds of requests it allows and forbids.

`SWITCHYARD_REQUESTS=20000 SWITCHYARD_SEED=7` sends more, and others; the seed is printed (`-s` shows it).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import pytest

from routing import examples
from tests.support.chat import ChatServer
from tests.support.described import Described
from tests.support.explorer import PHASES, Caller, Exploration, Found, explore
from tests.support.judge import Judge
from tests.support.server import METRICS_TOKEN, SERVICE_SECRET, Person, TestServer

REQUESTS = int(os.environ.get("SWITCHYARD_REQUESTS", "600"))
SEED = int(os.environ.get("SWITCHYARD_SEED", "1"))
# Generated cases an operation, each time around; more of them when there is more to send, because every
# turn asks each operation again without credentials and with wrong ones.
CASES = max(3, REQUESTS // 250)

# Any: JSON documents.
Document = dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """Things that exist, all of one person's."""

    runs: list[str]
    conversations: list[str]
    keys: list[str]
    agents: list[str]
    users: list[str]

    @property
    def real(self) -> dict[str, list[str]]:
        """By the parameter they are for."""
        return {
            "path.run_id": self.runs,
            "path.conversation_id": self.conversations,
            "path.key_id": self.keys,
            "path.agent_id": self.agents,
            "path.name": ["a.txt", "deep/b.svg"],
            "query.before": self.runs,
            "body.agentId": self.agents,
            "body.conversationId": self.conversations,
            "body.userId": self.users,
        }

    def settled(self, document: Document) -> Document:
        """The description with these things in the place of those its examples tell of."""
        text = json.dumps(document)
        story = {
            examples.RUN_ID: self.runs[0],
            examples.AGENT_ID: self.agents[0],
            examples.CONVERSATION_ID: self.conversations[0],
            examples.KEY_ID: self.keys[0],
            examples.FILE_NAME: "a.txt",
        }
        for told, real in story.items():
            text = text.replace(told, real)
        found: Document = json.loads(text)
        return found


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


async def test_the_server_does_what_its_description_says(server: TestServer) -> None:
    print(f"seed {SEED}")  # noqa: T201
    async with server.person(balance=10**6) as owner, server.person(balance=10**6) as script:
        document = (await owner.client.get("/openapi.json")).json()
        ground = await prepared(server, owner)
        callers = await callers_of(owner, script)
        secrets = [SERVICE_SECRET, METRICS_TOKEN, owner.token, script.token]
        found = await explored(server, document, ground, callers, Judge(document, secrets=secrets))
        ready = await owner.client.get("/health/readiness")
    print(f"{found.total} requests: {dict(by_status(found))}")  # noqa: T201

    assert not found.failures, "\n\n".join(found.failures[:10])
    assert found.total >= REQUESTS
    assert {name for name, _ in Described(document).operations()} <= {name for name, _ in found.sent}
    assert await server.sql.fetchval("select public.switchyard_audit()") == []
    assert ready.json()["status"] == "ready"


async def explored(
    server: TestServer, document: Document, ground: Ground, callers: list[Caller], judge: Judge
) -> Found:
    """Everything once as the first caller, then generated cases as each of them, all in turn until enough."""
    found = Found()
    settled = ground.settled(document)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as beside:
        for number, caller in enumerate(itertools.cycle(callers)):
            if number >= len(callers) and found.total >= REQUESTS:
                break
            exploration = Exploration(
                url=server.url,
                document=settled,
                caller=caller,
                seed=SEED + number,
                max_examples=CASES,
                real=ground.real,
                judge=judge,
                phases=PHASES if number == 0 else PHASES[2:],
            )
            turn = await loop.run_in_executor(beside, explore, exploration)
            print(f"{caller.name}: {dict(by_status(turn))}")  # noqa: T201
            found.add(turn)
    return found


async def prepared(server: TestServer, owner: Person) -> Ground:
    """Runs that have ended in every way, one of them in a conversation."""
    begun = await owner.client.post("/api/conversations", json={"agentId": str(owner.agent_id)})
    conversation = str(begun.json()["conversationId"])
    files = {"a.txt": "hello", "deep/b.svg": "<svg/>"}
    runs = [await owner.ended({"chunks": ["a", "b"], "files": files}) for _ in range(3)]
    runs.append((await owner.execute({}, conversationId=conversation)).json()["runId"])
    runs.append((await owner.execute({"fail": "as it was told"})).json()["runId"])
    waiting = await owner.started({"gate": "for ever"})
    await owner.client.post(f"/api/runs/{waiting}/cancel")
    keys = [(await owner.client.post("/api/keys", json={"name": name})).json()["id"] for name in "ab"]
    agents = [str(await server.agent(owner.id, is_published=True)), str(owner.agent_id)]
    return Ground([*runs, waiting], [conversation], keys, agents, [str(owner.id)])


async def callers_of(owner: Person, script: Person) -> list[Caller]:
    user = {"user": {"bearer": owner.token}, "metrics": {"bearer": METRICS_TOKEN}}
    key = (await script.client.post("/api/keys", json={"name": "script"})).json()["key"]
    service = {"service": {"api_key": SERVICE_SECRET}, "serviceUser": {"api_key": str(owner.id)}}
    return [
        Caller("the owner", user),
        Caller("the owner, who wants pages", user, accept="application/json"),
        Caller("a script", {"apiKey": {"api_key": key}}),
        Caller("the service", service, accept="text/event-stream"),
        Caller("nobody"),
    ]


def by_status(found: Found) -> Counter[int]:
    counted: Counter[int] = Counter()
    for (_, status), times in found.sent.items():
        counted[status] += times
    return counted
