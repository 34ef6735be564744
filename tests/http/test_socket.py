"""What a client does over a WebSocket: sign in, start runs, follow them, come back, cancel."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.support.server import Document, Person, TestServer, messages, until
from tests.support.sockets import Client, connected, opened

LONG = {"chunks": list("abcdefgh")}
NAMES = {
    "started": "agent_execution_started",
    "chunk": "agent_chunk",
    "done": "agent_execution_complete",
    "error": "agent_execution_error",
}


async def over_http(person: Person, run_id: str, after: int = 0) -> list[Document]:
    """The events of a run as SSE tells them, under the names of the socket."""
    stream = await person.client.get(f"/api/runs/{run_id}/events?after={after}")
    return [{**each, "type": NAMES[each["type"]]} for each in messages(stream.text)]


async def status(person: Person, run_id: str) -> str:
    return str((await person.client.get(f"/api/runs/{run_id}")).json()["status"])


async def test_a_token_among_the_subprotocols_gets_in_and_is_not_echoed(
    server: TestServer, person: Person
) -> None:
    async with opened(server.url, protocols=["switchyard.v1", f"jwt-{person.token}"]) as client:
        welcome = await client.hear("connected")

        assert welcome["userId"] == str(person.id)
        assert client.connection.subprotocol == "switchyard.v1"


async def test_a_token_in_the_first_message_gets_in(server: TestServer, person: Person) -> None:
    async with opened(server.url) as client:
        await client.say("auth", token=person.token)

        assert (await client.hear("connected"))["userId"] == str(person.id)


async def test_a_token_in_the_query_gets_in_and_is_not_logged(
    server: TestServer, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        async with opened(server.url, query=f"?token={person.token}") as client:
            assert (await client.hear("connected"))["userId"] == str(person.id)

    lines = [each.getMessage() for each in caplog.records if each.name.startswith("uvicorn")]
    assert lines != []
    assert not any(person.token in line for line in lines)


async def test_a_run_is_told_from_its_start_to_its_end(person: Person, client: Client) -> None:
    await client.execute(person, LONG, requestId="mine")
    told = await client.hear_to_end()

    assert told[0]["agentId"] == str(person.agent_id)
    assert told[0].pop("requestId") == "mine"
    assert [each["content"] for each in told if each["type"] == "agent_chunk"] == LONG["chunks"]
    assert (told[-1]["response"], told[-1]["creditsUsed"]) == ("abcdefgh", 1)
    assert told == await over_http(person, told[0]["runId"])


async def test_several_runs_share_a_socket(server: TestServer, person: Person, client: Client) -> None:
    first = await client.begin(person, {"gate": "shared"})
    second = await client.begin(person, {"gate": "shared"})
    server.echo.gates["shared"].set()

    ends = [await client.hear("agent_execution_complete") for _ in range(2)]

    assert {each["runId"] for each in ends} == {first, second}


async def test_the_same_key_joins_the_same_run(person: Person, client: Client) -> None:
    await client.execute(person, {"chunks": ["a"]}, idempotencyKey="once")
    first = await client.hear_to_end()
    await client.execute(person, {"chunks": ["a"]}, idempotencyKey="once")

    assert await client.hear_to_end() == first


async def test_every_number_gives_the_same_tail(person: Person, client: Client) -> None:
    run_id = await person.ended(LONG)
    whole = await over_http(person, run_id)

    for after in range(len(whole)):
        await client.say("agent_resume", runId=run_id, after=after)
        resumed = await client.hear("agent_resumed")
        assert resumed == {"type": "agent_resumed", "runId": run_id, "after": after, "latest": len(whole)}
        assert await client.hear_to_end() == whole[after:]


async def test_after_the_terminal_event_there_is_nothing(person: Person, client: Client) -> None:
    run_id = await person.ended()
    latest = len(await over_http(person, run_id))

    await client.say("agent_resume", runId=run_id, after=latest)
    await client.hear("agent_resumed")
    await client.say("ping")

    await client.hear("pong")


async def test_a_run_goes_on_when_its_client_leaves_and_is_resumed_where_it_was(
    server: TestServer, person: Person
) -> None:
    async with connected(server, person) as client:
        run_id = await client.begin(person, {"chunks": ["a", "b"], "gate": "left"})
        first = await client.hear("agent_chunk")
    server.echo.gates["left"].set()

    async with connected(server, person) as client:
        await client.say("agent_resume", runId=run_id, after=first["seq"])
        await client.hear("agent_resumed")
        rest = await client.hear_to_end()

    assert rest == await over_http(person, run_id, first["seq"])
    assert rest[-1]["type"] == "agent_execution_complete"


async def test_resuming_a_run_that_is_followed_tells_each_event_once(
    server: TestServer, person: Person, client: Client
) -> None:
    run_id = await client.begin(person, {"gate": "twice"})
    await client.say("agent_resume", runId=run_id, after=1)
    await client.hear("agent_resumed")
    server.echo.gates["twice"].set()

    await client.hear("agent_execution_complete")
    await client.say("ping")
    await client.hear("pong")


async def test_a_run_is_cancelled(person: Person, client: Client) -> None:
    run_id = await client.begin(person, {"gate": "never"})
    await client.say("agent_cancel", runId=run_id)

    end = await client.hear("agent_execution_error")

    assert (end["runId"], end["code"]) == (run_id, "cancelled")
    assert await status(person, run_id) == "cancelled"


async def test_who_cancels_a_run_that_is_not_followed_hears_of_its_end(
    person: Person, client: Client
) -> None:
    run_id = await person.started({"gate": "never"})
    await client.say("agent_cancel", runId=run_id)

    while (heard := await client.hear())["type"] != "agent_execution_error":
        pass

    assert (heard["runId"], heard["code"]) == (run_id, "cancelled")


async def test_a_failed_run_says_so_once_and_nothing_after(person: Person, client: Client) -> None:
    await client.execute(person, {"chunks": ["a"], "fail": "no more paper"})
    told = await client.hear_to_end()
    await client.say("ping")

    await client.hear("pong")
    assert [each["type"] for each in told].count("agent_execution_error") == 1
    assert (told[-1]["error"], told[-1]["code"]) == ("no more paper", "agent_error")


async def test_a_disconnect_cancels_nothing(server: TestServer, person: Person) -> None:
    async with connected(server, person) as client:
        run_id = await client.begin(person, {"gate": "alone"})
    assert await status(person, run_id) == "running"
    server.echo.gates["alone"].set()

    async def succeeded() -> bool:
        return await status(person, run_id) == "succeeded"

    await until(succeeded)


async def test_a_position_no_event_has_is_refused(person: Person, client: Client) -> None:
    run_id = await person.ended()

    for after in (99, -1, 2**31):
        await client.say("agent_resume", runId=run_id, after=after, requestId="r")
        refusal = await client.hear("error")
        assert (refusal["code"], refusal["requestId"]) == ("bad_cursor", "r")


async def test_a_run_of_somebody_else_reads_as_unknown(
    server: TestServer, person: Person, client: Client
) -> None:
    async with server.person() as other:
        run_id = await other.ended()
    for type_ in ("agent_resume", "agent_cancel"):
        refusals = []
        for each in (run_id, str(uuid4()), "no-run-at-all"):
            await client.say(type_, runId=each)
            refusals.append(await client.hear("error"))
        assert refusals[0]["code"] == "run_not_found"
        assert all(each == refusals[0] for each in refusals)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"agentId": str(uuid4())}, "agent_not_found"),
        ({"agentId": "none"}, "invalid_body"),
        ({"surprise": 1}, "invalid_body"),
        ({"messages": "hello"}, "invalid_body"),
        ({"messages": [{"role": "user", "content": "hello", "colour": "red"}]}, "invalid_body"),
        ({"input": {"chunks": "not a list"}}, "invalid_body"),
        ({"input": {"nul": "\0"}}, "invalid_body"),
        ({"idempotencyKey": ""}, "invalid_request"),
        ({"conversationId": str(uuid4())}, "conversation_not_found"),
        ({"type": "agent_dance"}, "invalid_request"),
    ],
)
async def test_a_message_that_cannot_be_done_is_refused_by_itself(
    server: TestServer, person: Person, client: Client, changes: Document, code: str
) -> None:
    before = await server.counts()
    body = {**person.body(), "type": "agent_execute", "requestId": "r-1", **changes}
    await client.say(**{"type_": body.pop("type"), **body})

    refusal = await client.hear("error")
    assert (refusal["code"], refusal["requestId"]) == (code, "r-1")
    assert refusal["error"]
    await client.say("ping")
    await client.hear("pong")
    assert await server.counts() == before


async def test_a_run_that_cannot_be_paid_is_refused(server: TestServer) -> None:
    async with server.person(balance=0) as poor, connected(server, poor) as client:
        await client.execute(poor)
        refusal = await client.hear("error")

    assert (refusal["code"], refusal["needed"], refusal["available"]) == ("insufficient_credits", 1, 0)


async def test_another_body_under_the_same_key_is_refused(person: Person, client: Client) -> None:
    await client.execute(person, idempotencyKey="k")
    await client.hear_to_end()
    await client.execute(person, {"chunks": ["other"]}, idempotencyKey="k")

    assert (await client.hear("error"))["code"] == "key_conflict"


async def test_a_ping_is_answered_with_the_time(client: Client) -> None:
    await client.say("ping", timestamp=123)

    assert (await client.hear("pong"))["timestamp"].endswith("Z")


async def test_a_token_is_renewed(server: TestServer, person: Person, client: Client) -> None:
    await client.say("auth", token=server.forge.token(person.id))
    await client.hear("connected")

    await client.execute(person)
    await client.hear_to_end()


async def test_a_socket_stays_its_users_own(server: TestServer, client: Client) -> None:
    await client.say("auth", token=server.forge.token(uuid4()))
    assert (await client.hear("error"))["code"] == "conflicting_credentials"

    await client.say("auth", token="nonsense")
    assert (await client.hear("error"))["code"] == "invalid_token"


async def test_an_accepted_run_says_where_the_socket_is(person: Person) -> None:
    answer = await person.execute({"gate": "url"}, headers={"Prefer": "respond-async"})

    assert answer.json()["wsUrl"] == "/ws"
    await person.client.post(f"/api/runs/{answer.json()['runId']}/cancel")


async def test_readers_and_resumes_are_counted(server: TestServer, person: Person) -> None:
    def sample(name: str, **labels: str) -> float:
        return server.backend.app.state.rooms.metrics.registry.get_sample_value(name, labels) or 0

    resumed = sample("heavy_agent_resumes_total", outcome="resumed")
    async with connected(server, person) as client:
        run_id = await client.begin(person, {"gate": "count"})
        assert sample("heavy_agent_readers", transport="ws") == 1
        await client.say("agent_resume", runId=run_id, after=1)
        await client.hear("agent_resumed")
    server.echo.gates["count"].set()

    async def nobody_reads() -> bool:
        return sample("heavy_agent_readers", transport="ws") == 0

    await until(nobody_reads)
    assert sample("heavy_agent_resumes_total", outcome="resumed") == resumed + 1


async def test_messages_are_counted_by_the_status_a_request_would_have_got(
    server: TestServer, person: Person, client: Client
) -> None:
    def count(kind: str, status: str) -> float:
        registry = server.backend.app.state.rooms.metrics.registry
        labels = {"type": kind, "status": status}
        return registry.get_sample_value("heavy_agent_socket_messages_total", labels) or 0

    asked = [("ping", "200"), ("agent_resume", "404"), ("agent_cancel", "404"), ("unknown", "400")]
    before = [count(*each) for each in asked]

    await client.say("ping")
    await client.hear("pong")
    for kind in ("agent_resume", "agent_cancel"):
        await client.say(kind, runId=str(uuid4()))
        await client.hear("error")
    await client.say(f"never-heard-{uuid4()}")
    await client.hear("error")

    assert [count(*each) - was for each, was in zip(asked, before, strict=True)] == [1] * 4


async def test_a_hundred_messages_at_once_are_answered_in_order(person: Person, client: Client) -> None:
    run_id = await person.ended()
    await asyncio.gather(*(client.say("agent_resume", runId=run_id, after=99) for _ in range(100)))
    await client.say("ping")

    heard = [await client.hear() for _ in range(101)]

    assert [each["type"] for each in heard] == ["error"] * 100 + ["pong"]
