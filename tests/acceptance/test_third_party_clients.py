"""The dialogue of the front ends there are, word for word, with two clients that are not ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.acceptance.dialogue.play import SPEAKERS, Dialogue, Speaker, play, talking
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.process import ServerProcess
from tests.support.server import Document, Person, TestServer, running_server
from tests.support.sockets import connected

Steps = list[tuple[str, object]]

by_each_speaker = pytest.mark.parametrize("speaker", SPEAKERS)


@pytest.fixture(scope="module")
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


@pytest.fixture
async def person(server: TestServer) -> AsyncIterator[Person]:
    async with server.person() as somebody:
        yield somebody
    assert await server.sql.fetchval("select public.switchyard_audit()") == []


WAYS = ["query", "first message", "subprotocol"]


@by_each_speaker
@pytest.mark.parametrize("way", WAYS)
async def test_a_run_is_told_from_its_start_to_its_end(
    server: TestServer, person: Person, speaker: Speaker, way: str
) -> None:
    steps: Steps = [
        ("until", "connected"),
        ("say", execute(person, {"chunks": ["Good ", "morning."]})),
        ("until", "agent_execution_complete"),
        ("close", 1000),
    ]

    transcript = await play(speaker, signed_in(server.url, person.token, steps, way=way))

    assert transcript == [
        {"opened": "switchyard.v1" if way == "subprotocol" else ""},
        welcome(person),
        started(person),
        chunk(2, "Good "),
        chunk(3, "morning."),
        complete(4, "Good morning."),
        {"closed": 1000, "reason": ""},
    ]


@by_each_speaker
async def test_a_failed_run_says_so_once_and_nothing_after(
    server: TestServer, person: Person, speaker: Speaker
) -> None:
    steps: Steps = [
        ("until", "connected"),
        ("say", execute(person, {"chunks": ["Good "], "fail": "the tea is cold"})),
        ("until", "agent_execution_error"),
        ("ping", "still there?"),
        ("say", {"type": "ping"}),
        ("until", "pong"),
        ("close", 1000),
    ]

    transcript = await play(speaker, signed_in(server.url, person.token, steps))

    assert transcript == [
        {"opened": ""},
        welcome(person),
        started(person),
        chunk(2, "Good "),
        failure(3, "Good ", code="agent_error", error="the tea is cold"),
        {"pong": "still there?"},
        {"heard": {"type": "pong", "timestamp": "time"}},
        {"closed": 1000, "reason": ""},
    ]


@by_each_speaker
async def test_a_run_is_cancelled_and_told_again_from_any_number(
    server: TestServer, person: Person, speaker: Speaker
) -> None:
    steps: Steps = [
        ("until", "connected"),
        ("say", execute(person, {"chunks": ["Good ", "morning."], "gate": "never"})),
        ("until", "agent_chunk"),
        ("until", "agent_chunk"),
        ("say", {"type": "agent_cancel", "runId": "$runId"}),
        ("until", "agent_execution_error"),
        ("say", {"type": "agent_resume", "runId": "$runId", "after": 2}),
        ("until", "agent_execution_error"),
        ("close", 1000),
    ]

    transcript = await play(speaker, signed_in(server.url, person.token, steps))

    rest = [
        chunk(3, "morning."),
        failure(4, "Good morning.", code="cancelled", error="cancelled by the user"),
    ]
    assert transcript == [
        {"opened": ""},
        welcome(person),
        started(person),
        chunk(2, "Good "),
        *rest,
        {"heard": {"type": "agent_resumed", "runId": "run 1", "after": 2, "latest": 4}},
        *rest,
        {"closed": 1000, "reason": ""},
    ]


@by_each_speaker
async def test_a_big_answer_comes_whole(server: TestServer, person: Person, speaker: Speaker) -> None:
    # As large as an order may be on a socket; each piece is close to what one event may hold.
    pieces = [f"{number}" + "ü" * 30_000 for number in range(4)]
    # As it is: a client that escapes what is not ASCII would have twice as much to say.
    order = json.dumps(execute(person, {"chunks": pieces}), ensure_ascii=False)
    steps: Steps = [
        ("until", "connected"),
        ("say", order),
        ("until", "agent_execution_complete"),
        ("close", 1000),
    ]

    transcript = await play(speaker, signed_in(server.url, person.token, steps))

    assert transcript[3:-1] == [
        *(chunk(number, piece) for number, piece in enumerate(pieces, 2)),
        complete(6, "".join(pieces)),
    ]


@by_each_speaker
async def test_the_sixth_socket_is_sent_away(server: TestServer, person: Person, speaker: Speaker) -> None:
    async with AsyncExitStack() as five:
        for _ in range(5):
            await five.enter_async_context(connected(server, person))
        transcript = await play(speaker, signed_in(server.url, person.token, []))

    assert transcript == [
        {"opened": ""},
        {
            "heard": {
                "type": "error",
                "error": "the limit of 5 open sockets a user is reached; try again in 5 s",
                "code": "rate_limited",
                "policy": "5 open sockets a user",
                "retryAfter": 5,
            }
        },
        {"closed": 4429, "reason": "rate_limited"},
    ]


@by_each_speaker
@pytest.mark.parametrize("way", WAYS)
async def test_a_bad_token_is_sent_away(server: TestServer, speaker: Speaker, way: str) -> None:
    transcript = await play(speaker, signed_in(server.url, "no-token", [], way=way))

    reason = "the token is not a JWT; send the user's access token"
    assert transcript[1:] == [
        {"heard": {"type": "error", "error": reason, "code": "invalid_token"}},
        {"closed": 4401, "reason": "invalid_token"},
    ]


@by_each_speaker
async def test_a_message_has_256_kb_at_most(server: TestServer, person: Person, speaker: Speaker) -> None:
    largest = json.dumps({"type": "ping"}).ljust(256 * 1024)
    steps: Steps = [("until", "connected"), ("say", largest), ("until", "pong"), ("say", largest + " ")]

    transcript = await play(speaker, signed_in(server.url, person.token, steps))

    assert transcript[2] == {"heard": {"type": "pong", "timestamp": "time"}}
    assert transcript[3]["closed"] == 1009


async def test_a_server_that_leaves_says_so_first(demo_url: str, tmp_path: Path) -> None:
    async with (
        ServerProcess.running(DATABASE_URL=demo_url, DATA_DIR=str(tmp_path)) as process,
        AsyncExitStack() as clients,
    ):
        url, token = str(process.client.base_url).rstrip("/"), process.client.headers["authorization"][7:]
        dialogue = signed_in(url, token, [("until", "connected")])
        talks = [await clients.enter_async_context(talking(speaker, dialogue)) for speaker in SPEAKERS]
        for talk in talks:
            while "heard" not in await talk.next():
                pass
        assert await process.terminate(within_s=30) == 0
        transcripts = [await talk.to_end() for talk in talks]

    for transcript in transcripts:
        assert transcript[2:] == [
            {"heard": {"type": "reconnect", "reason": "restarting"}},
            {"closed": 1012, "reason": "restarting"},
        ]


def signed_in(url: str, token: str, steps: Steps, *, way: str = "query") -> Dialogue:
    match way:
        case "first message":
            return Dialogue(url, [("say", {"type": "auth", "token": token}), *steps])
        case "subprotocol":
            return Dialogue(url, steps, protocols=["switchyard.v1", f"jwt-{token}"])
        case _:
            return Dialogue(url, steps, query=f"?token={token}")


def execute(person: Person, input_: Document) -> Document:
    """With what older front ends send along."""
    return {
        "type": "agent_execute",
        "agentId": str(person.agent_id),
        "userId": str(person.id),
        "agentConfig": {"name": "Echo"},
        "messages": [{"role": "user", "content": "hello"}],
        "input": input_,
    }


def welcome(person: Person) -> Document:
    return {"heard": {"type": "connected", "message": "signed in", "userId": str(person.id)}}


def started(person: Person) -> Document:
    return event("agent_execution_started", 1, agentId=str(person.agent_id))


def chunk(seq: int, content: str) -> Document:
    return event("agent_chunk", seq, content=content, step="say")


def complete(seq: int, response: str) -> Document:
    return event(
        "agent_execution_complete",
        seq,
        response=response,
        executionTime="milliseconds",
        creditsUsed=1,
        usage={"toolCalls": 1},
        output={"count": len(response)},
    )


def failure(seq: int, response: str, *, code: str, error: str) -> Document:
    return event("agent_execution_error", seq, error=error, code=code, response=response, creditsUsed=1)


def event(type_: str, seq: int, **fields: object) -> Document:
    return {"heard": {"type": type_, "runId": "run 1", "seq": seq, **fields}}
