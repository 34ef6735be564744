"""Things of somebody else, named at every door: they read as things that do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.support.process import NO_TLS, ServerProcess
from tests.support.sockets import opened
from tests.support.state import State, changes

__all__ = ["FAULT"]

SECRET = "the-service-secret-of-other-peoples-things"
# Any: JSON of the wire, and the description of the API.
Document = dict[str, Any]
# A method, a path, and what in it names a thing.
Door = tuple[str, str, str]
# What differs between any two answers.
VOLATILE = frozenset({"date", "ratelimit", "x-request-id", "content-length"})
# A place where a thing is named, by the kind of thing that it is. A place that is not here is a violation.
KINDS = {
    "run_id": "run",
    "agent_id": "agent",
    "conversation_id": "conversation",
    "key_id": "key",
    "agentId": "agent",
    "conversationId": "conversation",
    "before": "run",
    "runId": "run",
}
# A key remembers when it was used, and a question at `agent-runtime` counts, whatever it names.
MAY_CHANGE = frozenset({"public.api_keys", "switchyard.rate_windows"})
# Beside a thing, in it, or of no meaning.
NAMES = frozenset({"name", "userId", "requestId", "after", "limit", "wait", "token"})
# Only the service is let in there, and has checked the agent.
TRUSTED = "/api/agent/execute-validated"
MESSAGES: tuple[tuple[str, str], ...] = (
    ("agent_resume", "runId"),
    ("agent_cancel", "runId"),
    ("agent_execute", "agentId"),
    ("agent_execute", "conversationId"),
)


@dataclass(frozen=True)
class Owner:
    id: UUID
    token: str
    things: dict[str, str]
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a foreign thing that was named, and whose answer was compared with that of an unknown one."""
    async with ground.replica(RAILWAY_BACKEND_SECRET=SECRET) as server:
        described: Document = (await server.client.get("/openapi.json")).json()
        for _ in range(ground.n):
            asker, other = await _owner(ground, server), await _owner(ground, server)
            state = await State.of(ground.sql)
            before = await state.read()
            await _requests(server, described, asker, other, findings=findings)
            await _messages(server, asker, other, findings=findings)
            for table in set(changes(before, await state.read())) - MAY_CHANGE:
                findings.violated(f"{table} has changed")


async def _owner(ground: Ground, server: ServerProcess) -> Owner:
    """Somebody with a run that has ended, and one of each other thing; the agent is not published."""
    person = await ground.person()
    agent = await ground.agent(person)
    await ground.sql.execute("update public.agents set is_published = false where id = $1", agent)
    token = ground.token(person)
    headers = {"authorization": f"Bearer {token}"}
    body = {"agentId": str(agent), "messages": [], "input": {"chunks": ["x"], "files": {"a.txt": "secret"}}}

    async def made(path: str, document: Document) -> Document:
        answer: Document = (await server.client.post(path, json=document, headers=headers)).json()
        return answer

    run = await made("/api/agent/execute", body)
    conversation = await made("/api/conversations", {})
    keys = [await made("/api/keys", {"name": "x"}) for _ in range(2)]
    things = {
        "run": run["runId"],
        "agent": str(agent),
        "conversation": conversation["conversationId"],
        "key": keys[0]["id"],
    }
    return Owner(person, token, things, keys[1]["key"])


async def _requests(
    server: ServerProcess, described: Document, asker: Owner, other: Owner, *, findings: Findings
) -> None:
    callers: dict[str, dict[str, str]] = {
        "a user": asker.bearer,
        "a key": {"x-api-key": asker.key},
        "the service": {"x-railway-secret": SECRET, "x-user-id": str(asker.id)},
        "nobody": {},
    }
    doors = list(_doors(described, findings))
    for who, credentials in callers.items():
        async with httpx2.AsyncClient(
            base_url=server.client.base_url, headers=credentials, trust_env=False, verify=NO_TLS, timeout=60
        ) as client:
            for door in doors:
                names = _names(other, door[2])
                unknown, *foreign = [_seen(await _ask(client, door, name, asker)) for name in names]
                findings.hit(len(foreign))
                for each in foreign:
                    findings.expect(each == unknown, f"{who} {door}: {each} is not {unknown}"[:600])


def _doors(described: Document, findings: Findings) -> Iterator[Door]:
    """Method, path and the place in it, of all that is served and names a thing."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            places = [each["name"] for each in operation.get("parameters", []) if each["in"] != "header"]
            if "requestBody" in operation and path != TRUSTED:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                model = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                places += [name for name in model["properties"] if name.endswith("Id")]
            for place in places:
                if place in KINDS:
                    yield method.upper(), path, place
                else:
                    findings.expect(place in NAMES, f"nobody has said what {place} of {path} names")


async def _ask(client: httpx2.AsyncClient, door: Door, name: str, asker: Owner) -> httpx2.Response:
    method, path, field = door
    if "{" in path:
        return await client.request(method, path.replace(f"{{{field}}}", name).replace("{name}", "a.txt"))
    if method == "GET":
        return await client.get(path, params={field: name})
    body: Document = {} if "conversations" in path else {"agentId": asker.things["agent"], "messages": []}
    return await client.post(path, json={**body, field: name})


def _names(other: Owner, place: str) -> tuple[str, str]:
    """What nobody has and what the other one has: neighbours, because a page begins at an id."""
    foreign = other.things[KINDS[place]]
    return str(UUID(int=UUID(foreign).int ^ 1)), foreign


def _seen(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], str]:
    """All of an answer but what names the request."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in VOLATILE)
    return answer.status_code, headers, answer.text.replace(answer.headers["x-request-id"], "")


async def _messages(server: ServerProcess, asker: Owner, other: Owner, *, findings: Findings) -> None:
    url = str(server.client.base_url).rstrip("/")
    async with opened(url, query=f"?token={asker.token}") as client:
        await client.hear("connected")
        for type_, field in MESSAGES:
            heard = []
            for name in _names(other, field):
                body = {"agentId": asker.things["agent"], "messages": []} if "execute" in type_ else {}
                await client.say(type_, **{**body, field: name})
                heard.append(await client.hear())
            findings.hit(len(heard) - 1)
            findings.expect(heard[1:] == heard[:1] * (len(heard) - 1), f"{type_} {field}: {heard}")


FAULT = Fault(
    name="idor",
    promise="users, keys, the service, nobody x every place that names a thing: not yours reads as unknown",
    full_n=100,
    small_n=1,
    perform=perform,
    mutations=(
        Mutation(
            "unowned-runs",
            removes="the owner from the look for a run",
            sql=rewritten("switchyard.run_owned", "and user_id = p_user_id", ""),
        ),
        Mutation(
            "unowned-agents",
            removes="the owner from the look for an agent",
            sql=rewritten("switchyard.agent_visible", "(is_published or user_id = p_user_id)", "true"),
        ),
    ),
)
