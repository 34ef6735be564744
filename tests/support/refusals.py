"""What a caller hears that is refused, in one shape for plain HTTP, streams and sockets.

Three things can be asked on all of them: to sign in, to start a run (`order`), to read a run (`look`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import httpx2
from websockets.exceptions import ConnectionClosed

from tests.support.server import Document, Person, TestServer, assert_problem, messages
from tests.support.sockets import Client, opened

__all__ = ["By", "Told", "hear", "look", "order", "sign_in", "told_in_answer"]

STANDARD = {"type", "title", "status", "detail", "code", "requestId", "error", "message"}
ENVELOPE = {"type", "error", "code", "requestId", "runId", "reason"}
LAST_WORDS = frozenset({"error", "agent_gap", "agent_execution_error", "reconnect"})
REQUEST_ID = "asked-1"


class By(StrEnum):
    HTTP = "http"
    SSE = "sse"
    WS = "ws"


@dataclass(frozen=True)
class Told:
    """
    Attributes:
        kind: `problem`, or the type of the last message; None when a socket is closed without one.
        status: of the answer; None on a socket.
        close: the close code; None while the socket goes on.
        facts: what is told besides the code and the sentence.
    """

    kind: str | None
    code: str | None = None
    text: str | None = None
    status: int | None = None
    close: int | None = None
    facts: Document = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


async def sign_in(
    by: By, server: TestServer, headers: Sequence[tuple[str, str]], *, tokens: Sequence[str] = ()
) -> Told:
    """Come in with `headers`, or with `tokens` to a socket, and look at a run."""
    if by is By.WS:
        query = "&".join(f"token={token}" for token in tokens)
        async with opened(server.url, query=f"?{query}") as client:
            return await hear(client)
    path = f"/api/runs/{UUID(int=0)}" + ("/events" if by is By.SSE else "")
    async with server.client() as somebody:
        return told_in_answer(await somebody.get(path, headers=list(headers)))


async def order(
    by: By, server: TestServer, person: Person, input_: Document | None = None, *, key: str | None = None,
    **changes: object,
) -> Told:  # fmt: skip
    """Start a run, follow it to its end, and be refused somewhere between."""
    if by is not By.WS:
        headers = {} if key is None else {"Idempotency-Key": key}
        return told_in_answer(await person.execute(input_, headers=headers, stream=by is By.SSE, **changes))
    keyed = {} if key is None else {"idempotencyKey": key}
    return await _say(server, person, "agent_execute", **person.body(input_, **changes), **keyed)


async def look(by: By, server: TestServer, person: Person, run_id: str, *, after: int = 0) -> Told:
    """Read the events of a run."""
    if by is By.WS:
        return await _say(server, person, "agent_resume", runId=run_id, after=after)
    accept = "application/json" if by is By.HTTP else "text/event-stream"
    url = f"/api/runs/{run_id}/events?after={after}"
    return told_in_answer(await person.client.get(url, headers={"Accept": accept}))


async def _say(server: TestServer, person: Person, type_: str, **fields: object) -> Told:
    async with opened(server.url, protocols=["switchyard.v1", f"jwt-{person.token}"]) as client:
        try:
            first = await client.hear()
            if first["type"] != "connected":
                return await hear(client, first)
            await client.say(type_, **fields, requestId=REQUEST_ID)
        except ConnectionClosed as ended:
            return _closed(ended, None)
        return await hear(client)


async def hear(client: Client, first: Document | None = None) -> Told:
    """The last words on a socket: one message, after which nothing comes, or its end, or both."""
    said = first
    try:
        while said is None or said["type"] not in LAST_WORDS:
            said = await client.hear()
        await client.say("ping")
        await client.hear("pong")
    except ConnectionClosed as ended:
        return _closed(ended, said)
    assert said["type"] == "agent_gap" or said.get("runId") or said["requestId"] == REQUEST_ID
    return _told(said, close=None)


def told_in_answer(answer: httpx2.Response | None) -> Told:
    """A complete problem document, or the last message of a stream, which holds no other refusal."""
    assert answer is not None, "the connection was ended without an answer"
    if answer.headers["content-type"].startswith("text/event-stream"):
        told = messages(answer.text)
        assert [each["type"] in LAST_WORDS for each in told] == [False] * (len(told) - 1) + [True], told
        return _told(told[-1], close=None, status=answer.status_code)
    code = answer.json()["code"]
    problem = assert_problem(answer, answer.status_code, code)
    return Told(
        kind="problem",
        code=code,
        text=problem["detail"],
        status=answer.status_code,
        facts={name: value for name, value in problem.items() if name not in STANDARD},
        headers=dict(answer.headers),
    )


def _closed(ended: ConnectionClosed, said: Document | None) -> Told:
    assert ended.rcvd is not None, "the socket was ended without a close code"
    return Told(None, close=ended.rcvd.code) if said is None else _told(said, close=ended.rcvd.code)


def _told(said: Document, *, close: int | None, status: int | None = None) -> Told:
    facts = {name: value for name, value in said.items() if name not in ENVELOPE}
    return Told(said["type"], said.get("code"), said.get("error"), status, close, facts)
