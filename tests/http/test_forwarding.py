"""What a backend makes of another one: what it sends there, what it relays, how it ends when that fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest

from routing.models import ValidatedBody
from tests.support.certificate import certificate_for
from tests.support.chat import ChatServer, ask, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.forwarding import as_pem, fresh_key
from tests.support.other import EXECUTE, Other, Told, chunk, done, error, serve_other
from tests.support.server import Document, Person, TestServer, assert_problem, until
from tests.support.transcript import transcript
from tests.support.web import serve_web

US = "https://us.example"
BEGUN = {"type": "started", "seq": 1}
PRICE = {"flat": 3}


@dataclass(frozen=True)
class Here:
    chat: ChatServer
    other: Other
    certificate: Path


@pytest.fixture(scope="module")
async def here(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Here]:
    certificate, key = certificate_for("localhost", tmp_path_factory.mktemp("tls"), address="127.0.0.1")
    url = await fresh_database(database_server)
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serve_other(certificate, key))
        settings = {
            "public_url": US,
            "allowed_backends": (other.url, US),
            "private_backends": (other.url,),
            "forwarding_key": as_pem(fresh_key()),
            "extra_ca_file": certificate,
            "backend_silence_seconds": 1,
            "backend_patience_seconds": 3,
        }
        chat = await stack.enter_async_context(chatting(url, **settings))
        yield Here(chat, other, certificate)
    await drop(database_server, url)


@pytest.fixture(scope="module")
def server(here: Here) -> TestServer:
    return here.chat.server


# Any: columns of an agent's row.
async def told(here: Here, person: Person, **row: Any) -> list[Document]:
    """The messages of a run of an agent whose backend is the other one."""
    columns = {"price": PRICE, "railway_url": here.other.url, **row}
    return await ask(person, await here.chat.agent(person.id, **columns), "hello")


async def balance(person: Person) -> int:
    left: int = (await person.client.get("/api/credits")).json()["available"]
    return left


def taken_back(*, after: object) -> Document:
    return {"type": "retry", "seq": 2, "step": "a", "attempt": 2, "discardAfter": after}


async def test_the_other_is_sent_what_it_takes_and_a_token_for_this_run(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, done(2, "Hi")]))

    seen = await told(
        here,
        person,
        system_prompt="Be kind.",
        ai_model="own/model",
        temperature=0.5,
        max_tokens=200,
        knowledge_base=[{"title": "Hours", "content": "Nine to five.", "id": 7}],
    )

    (asked,) = here.other.begun
    body = ValidatedBody.model_validate_json(asked.body)
    assert body.user_id == person.id
    assert body.agent_config.ai_model == "own/model"
    assert [(each.role, each.content) for each in body.messages] == [("user", "hello")]
    claims = jwt.decode(asked.headers["authorization"].split()[1], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["sub"]) == (US, here.other.url, str(person.id))
    assert claims["key"] == asked.headers["idempotency-key"] == f"{seen[0]['runId']}:forward"
    assert claims["exp"] - claims["iat"] == 60
    assert person.token not in str(asked)


async def test_it_is_charged_once_by_our_own_price(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, chunk(2, "Hi"), done(3, "Hi", creditsUsed=77)]))

    seen = await told(here, person)

    assert (seen[-1]["creditsUsed"], seen[-1]["usage"]) == (3, {"modelCalls": 1})
    assert await balance(person) == 997


async def test_numbers_there_become_numbers_here(here: Here, person: Person) -> None:
    """Those of the other have gaps, as of one that keeps events to itself."""
    here.other.play(
        Told(
            [
                BEGUN,
                chunk(5, "one ", "a"),
                chunk(9, "two ", "b"),
                chunk(12, "lost", "b"),
                {"type": "retry", "seq": 14, "step": "b", "attempt": 2, "discardAfter": 10},
                chunk(15, "three", "b"),
                done(20, "one two three"),
            ]
        )
    )

    seen = await told(here, person)

    assert [message["seq"] for message in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert next(each for each in seen if each["type"] == "retry")["discardAfter"] == 3
    assert transcript(seen) == "one two three"


async def test_what_was_seen_there_before_its_first_event_is_discarded_to_none(
    here: Here, person: Person
) -> None:
    retry = {"type": "retry", "seq": 14, "step": "a", "attempt": 2, "discardAfter": 1}
    here.other.play(Told([BEGUN, chunk(5, "lost", "a"), retry, chunk(15, "kept", "a"), done(20, "kept")]))

    assert transcript(await told(here, person)) == "kept"


async def test_what_the_other_says_beside_text_is_told_too(here: Here, person: Person) -> None:
    here.other.play(
        Told(
            [
                BEGUN,
                {"type": "tool_call", "seq": 2, "step": "t", "name": "look", "arguments": {"at": "it"}},
                {"type": "tool_result", "seq": 3, "step": "t", "name": "look", "ok": True, "result": [1]},
                {"type": "progress", "seq": 4, "fraction": 0.5, "note": "half"},
                {"type": "weather", "seq": 5, "sun": True},
                {"type": "done_soon", "seq": 6},
                {"type": "gap", "seq": 7},
                {"type": "NOT A TYPE", "seq": 8},
                done(9, "Hi"),
            ]
        )
    )

    seen = await told(here, person)

    assert [message["type"] for message in seen[1:-1]] == [
        "tool_call",
        "tool_result",
        "progress",
        "weather",
        "done_soon",
    ]
    assert (seen[1]["arguments"], seen[2]["result"], seen[3]["note"]) == ({"at": "it"}, [1], "half")
    assert seen[4].keys() == {"type", "runId", "seq", "sun"}


async def test_a_file_there_becomes_one_of_ours(here: Here, person: Person) -> None:
    made = {"type": "artifact", "seq": 2, "name": "a b.csv", "mediaType": "text/csv", "size": 4, "url": "/x"}
    here.other.play(Told([BEGUN, made, done(3, "Hi")]), files={"a b.csv": b"1,2\n"})

    seen = await told(here, person)

    url = seen[1]["url"]
    assert url.startswith(f"/api/runs/{seen[0]['runId']}/artifacts/")
    assert (await person.client.get(url)).content == b"1,2\n"


@pytest.mark.parametrize(
    "first",
    [
        Told([BEGUN, chunk(2, "one ")]),
        Told([BEGUN, chunk(2, "one ")], is_silent=True),
        Told([BEGUN, chunk(2, "one "), {"type": "reconnect", "eventsUrl": "https://evil.example/events"}]),
    ],
    ids=["ended early", "silent", "told to come back"],
)
async def test_a_stream_that_stops_goes_on_behind_the_last_event(
    here: Here, person: Person, first: Told
) -> None:
    here.other.play(first, Told([chunk(2, "one "), chunk(3, "two"), done(4, "one two")]))

    seen = await told(here, person)

    assert [message["type"] for message in seen] == ["started", "chunk", "chunk", "done"]
    assert transcript(seen) == "one two"
    (followed,) = here.other.followed
    assert followed.headers["last-event-id"] == "2"
    assert followed.headers["authorization"] != here.other.begun[0].headers["authorization"]


@pytest.mark.parametrize(
    ("there", "code", "charged"),
    [
        (error(3, "agent_error", "no such city"), "agent_error", 3),
        (error(3, "model_unavailable"), "model_unavailable", 0),
        (error(3, "deadline_exceeded"), "deadline_exceeded", 0),
        (error(3, "cancelled"), "backend_failed", 0),
        (error(3, "poison"), "backend_failed", 0),
        (error(3, "credit_exhausted"), "backend_failed", 0),
        ({"type": "error", "seq": 3}, "backend_failed", 0),
        ({"type": "done", "seq": 3, "response": 7}, "backend_failed", 0),
    ],
)
async def test_a_run_that_fails_there_fails_here(
    here: Here, person: Person, there: Document, code: str, charged: int
) -> None:
    here.other.play(Told([BEGUN, chunk(2, "so far"), there]))
    here.other.usage = {"modelCalls": 1}

    end = (await told(here, person))[-1]

    assert (end["type"], end["code"], end["creditsUsed"]) == ("error", code, charged)
    assert end["response"] == "so far"
    assert await balance(person) == 1000 - charged
    assert ("no such city" in end["error"]) is (code == "agent_error")
    assert here.other.cancelled == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Told(status=400), "backend_failed"),
        (Told(status=403), "backend_failed"),
        (Told(status=413), "agent_error"),
        (Told(status=422), "agent_error"),
        (Told(headers={"content-type": "text/html"}), "backend_failed"),
        (
            Told([{"type": "started", "seq": 1}], raw=b'data: {"type": "started", "seq": 1}\n\n'),
            "backend_failed",
        ),
        (Told(raw=b"data: no JSON\n\n"), "backend_failed"),
        (Told(raw=b"data: [1]\n\n"), "backend_failed"),
        (Told([BEGUN, {"type": "chunk", "seq": 2, "content": 7}]), "backend_failed"),
        (Told([BEGUN, taken_back(after=True)]), "backend_failed"),
        (Told([BEGUN, taken_back(after=2**31)]), "backend_failed"),
        (Told([BEGUN], raw=b"data: " + b"x" * 9_000_000), "backend_failed"),
    ],
)
async def test_what_is_no_run_ends_ours_at_no_cost(
    here: Here, person: Person, answer: Told, code: str
) -> None:
    here.other.play(answer)

    end = (await told(here, person))[-1]

    assert (end["type"], end["code"], end["creditsUsed"]) == ("error", code, 0)
    assert len(here.other.begun) == 1
    assert await balance(person) == 1000


async def test_a_redirect_leads_nowhere(here: Here, person: Person) -> None:
    async with serve_web() as stranger:
        here.other.play(Told(status=307, headers={"location": f"{stranger.url}/api/agent/execute-validated"}))

        end = (await told(here, person))[-1]

        assert (end["code"], end["creditsUsed"]) == ("backend_failed", 0)
        assert stranger.asked == []


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_what_may_pass_is_tried_again_with_the_same_key(
    here: Here, person: Person, status: int
) -> None:
    here.other.play(
        Told(status=status, headers={"retry-after": "0", "set-cookie": "a=b"}), Told([BEGUN, done(2, "Hi")])
    )

    seen = await told(here, person)

    assert seen[-1]["type"] == "done"
    first, second = here.other.begun
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["authorization"] != second.headers["authorization"]
    assert "cookie" not in second.headers


async def test_a_run_that_is_given_up_is_ended_there(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, chunk(2, "so far")]), Told(status=404))

    end = (await told(here, person))[-1]

    assert (end["code"], end["creditsUsed"]) == ("backend_failed", 0)
    await until(lambda: _is_cancelled(here))


async def test_patience_ends(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, chunk(2, "so far")]), Told(status=429))

    end = (await told(here, person))[-1]

    assert (end["code"], end["creditsUsed"], end["response"]) == ("backend_failed", 0, "so far")
    assert 2 < len(here.other.followed) < 30


async def test_a_cancel_before_the_other_has_answered_ends_the_run_it_has_begun(
    here: Here, person: Person
) -> None:
    here.other.play(Told(is_silent=True), Told([BEGUN]))
    agent = await here.chat.agent(person.id, railway_url=here.other.url)
    body = person.body(agentId=str(agent))
    headers = {"Prefer": "respond-async"}
    begun = await person.client.post("/api/agent/execute", json=body, headers=headers)
    await here.other.web.until_asked(EXECUTE)

    await person.client.post(f"/api/runs/{begun.json()['runId']}/cancel")
    await until(lambda: _is_cancelled(here))

    first, second = here.other.begun
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert (await person.client.get(begun.json()["eventsUrl"])).text.count('"code":"cancelled"') == 1


async def _is_cancelled(here: Here) -> bool:
    return here.other.cancelled != []


async def test_our_deadline_ends_it_there_too(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, chunk(2, "so far")], is_silent=True))
    here.other.usage = {"modelCalls": 1}

    end = (await told(here, person, config={"deadline_s": 0.5}))[-1]

    assert (end["code"], end["creditsUsed"]) == ("deadline_exceeded", 3)
    await until(lambda: _is_cancelled(here))


async def test_what_cannot_be_done_there_is_refused_before_anything_is_held(
    here: Here, person: Person
) -> None:
    here.other.play(Told([BEGUN, done(2, "Hi")]))
    agent = await here.chat.agent(person.id, railway_url=here.other.url, tools=["now"])

    answer = await person.client.post("/api/agent/execute", json=person.body(agentId=str(agent)))

    assert "no tools" in assert_problem(answer, 503, "not_configured")["detail"]
    assert here.other.begun == []
    assert await balance(person) == 1000


async def test_nothing_asked_is_refused_as_here(here: Here, person: Person) -> None:
    agent = await here.chat.agent(person.id, railway_url=here.other.url)

    answer = await person.client.post("/api/agent/execute", json=person.body(agentId=str(agent), messages=[]))

    assert_problem(answer, 422, "invalid_body")


async def test_an_agent_whose_backend_is_this_one_is_executed_here(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, done(2, "Hi")]))
    await here.chat.model.play({"reply": {"text": "Here."}})

    seen = await told(here, person, railway_url=US)

    assert seen[-1]["response"] == "Here."
    assert here.other.begun == []


async def test_a_conversation_goes_along(here: Here, person: Person) -> None:
    here.other.play(Told([BEGUN, done(2, "Hi")]))
    made = await person.client.post("/api/conversations", json={})
    conversation = made.json()["conversationId"]
    agent = await here.chat.agent(person.id, railway_url=here.other.url)

    await ask(person, agent, "first", conversationId=conversation)
    here.other.play(Told([BEGUN, done(2, "Hi again")]))
    await ask(person, agent, "second", conversationId=conversation)

    sent = json.loads(here.other.begun[0].body)["messages"]
    assert [each["content"] for each in sent] == ["first", "Hi", "second"]


async def test_a_private_address_is_asked_only_where_that_is_said(here: Here, database_url: str) -> None:
    here.other.play(Told([BEGUN, done(2, "Hi")]))
    settings = {
        "public_url": US,
        "allowed_backends": (here.other.url,),
        "forwarding_key": as_pem(fresh_key()),
        "extra_ca_file": here.certificate,
    }
    async with chatting(database_url, **settings) as chat, chat.server.person() as person:
        agent = await chat.agent(person.id, railway_url=here.other.url)

        end = (await ask(person, agent, "hello"))[-1]

    assert (end["code"], end["creditsUsed"]) == ("not_configured", 0)
    assert here.other.web.asked == []


async def test_what_is_relayed_is_marked_and_no_step_of_ours(here: Here, person: Person) -> None:
    """What a crash finds of a forwarded run is marked, so that no step of ours takes it back."""
    here.other.play(Told([BEGUN, chunk(2, "Hi", "forward"), done(3, "Hi")]))

    seen = await told(here, person)

    rows = await here.chat.server.sql.fetch(
        "select data from switchyard.events where run_id = $1 and type = 'chunk'", UUID(seen[0]["runId"])
    )
    assert [row["data"]["@relayed"] for row in rows] == [2]
