"""What `POST /api/agent/execute` promises: one run a key, an honest end, and a stream that begins at once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from routing.answers import Accepted, ExecuteAnswer
from tests.support.server import (
    SERVICE_SECRET,
    Person,
    TestServer,
    assert_problem,
    messages,
    until,
)


async def test_a_run_is_answered_with_its_response_and_its_price(person: Person) -> None:
    answer = await person.execute({"chunks": ["one ", "two"]})

    assert answer.status_code == 200
    document = ExecuteAnswer.model_validate(answer.json())
    assert (document.response, document.credits_used) == ("one two", 1)
    assert document.execution_time >= 0
    assert answer.headers["location"] == f"/api/runs/{document.run_id}"
    assert (await person.client.get("/api/credits")).json()["balance"] == 999


async def test_two_equal_requests_with_one_key_are_one_run(server: TestServer, person: Person) -> None:
    key = {"Idempotency-Key": '"order-1"'}

    first = await person.execute({"chunks": ["a"]}, headers=key)
    second = await person.execute({"chunks": ["a"]}, headers={"Idempotency-Key": "order-1"}, stream=False)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert (await person.client.get("/api/credits")).json()["balance"] == 999


async def test_twenty_equal_requests_at_once_are_one_run(server: TestServer, person: Person) -> None:
    before = await server.counts()

    answers = await asyncio.gather(
        *(person.execute({"chunks": ["a"]}, headers={"Idempotency-Key": "at-once"}) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    after = await server.counts()
    assert after["runs"] == before["runs"] + 1
    assert after["ledger"] == before["ledger"] + 2


async def test_another_body_under_the_same_key_is_refused(person: Person) -> None:
    key = {"Idempotency-Key": "k"}
    await person.execute({"chunks": ["a"]}, headers=key)

    assert_problem(await person.execute({"chunks": ["b"]}, headers=key), 422, "key_conflict")


async def test_two_users_may_use_the_same_key(server: TestServer, person: Person) -> None:
    key = {"Idempotency-Key": "shared"}
    async with server.person() as other:
        first = await person.execute({"chunks": ["a"]}, headers=key)
        second = await other.execute({"chunks": ["b"]}, headers=key)

    assert first.json()["runId"] != second.json()["runId"]


async def test_without_credits_nothing_is_written(server: TestServer) -> None:
    async with server.person(balance=0) as poor:
        before = await server.counts()

        refused = await poor.execute({"chunks": ["a"]}, headers={"Idempotency-Key": "k"})

        problem = assert_problem(refused, 402, "insufficient_credits")
        assert (problem["needed"], problem["available"]) == (1, 0)
        assert await server.counts() == before


async def test_an_agent_of_somebody_else_is_unknown(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        foreign = await person.execute(agentId=str(other.agent_id))
    unknown = await person.execute(agentId=str(uuid4()))

    known, foreign_problem = assert_problem(unknown, 404, "agent_not_found"), foreign.json()
    assert {**foreign_problem, "requestId": ""} == {**known, "requestId": ""}


async def test_a_published_agent_of_somebody_else_runs(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        published = await server.agent(other.id, is_published=True)

        answer = await person.execute({"chunks": ["a"]}, agentId=str(published))

    assert answer.status_code == 200


async def test_a_run_that_fails_is_no_success(person: Person) -> None:
    answer = await person.execute({"chunks": ["half"], "fail": "the series is empty"})

    problem = assert_problem(answer, 502, "agent_error")
    assert problem["detail"] == "the series is empty"
    assert problem["runStatus"] == "failed"
    assert problem["creditsUsed"] == 1
    assert "response" in problem


async def test_a_bug_in_an_agent_tells_nothing_of_itself(person: Person) -> None:
    answer = await person.execute({"bug": True})

    assert_problem(answer, 502, "agent_error")
    assert "secret" not in answer.text


async def test_a_run_whose_credits_are_used_up_is_402(person: Person) -> None:
    assert_problem(await person.execute({"burn": True}), 402, "credit_exhausted")


async def test_a_failed_run_is_repeated_with_its_own_answer(person: Person) -> None:
    key = {"Idempotency-Key": "fails"}
    first = await person.execute({"fail": "no"}, headers=key)
    second = await person.execute({"fail": "no"}, headers=key)

    assert second.status_code == first.status_code == 502
    assert second.json()["runId"] == first.json()["runId"]


async def test_a_caller_in_a_hurry_is_told_where_the_run_goes_on(server: TestServer, person: Person) -> None:
    answer = await person.execute({"gate": "hurry"}, headers={"Prefer": "respond-async"})

    assert answer.status_code == 202
    document = Accepted.model_validate(answer.json())
    assert document.status in {"queued", "running"}
    assert answer.headers["location"] == f"/api/runs/{document.run_id}"
    assert answer.headers["preference-applied"] == "respond-async"
    server.echo.gates["hurry"].set()
    stream = await person.client.get(document.events_url)
    assert messages(stream.text)[-1]["type"] == "done"


async def test_not_waiting_at_all_is_a_preference_too(server: TestServer, person: Person) -> None:
    answer = await person.execute({"gate": "zero"}, headers={"Prefer": "wait=0"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0"
    server.echo.gates["zero"].set()


async def test_a_run_that_takes_longer_than_the_wait_is_accepted(server: TestServer, person: Person) -> None:
    answer = await person.execute({"gate": "long"}, headers={"Prefer": "wait=1"})

    assert answer.status_code == 202
    server.echo.gates["long"].set()


async def test_asking_in_a_hurry_for_an_ended_run_answers_it(person: Person) -> None:
    key = {"Idempotency-Key": "done-before"}
    first = await person.execute({"chunks": ["a"]}, headers=key)

    again = await person.execute({"chunks": ["a"]}, headers={**key, "Prefer": "respond-async"})

    assert again.status_code == 200
    assert again.json() == first.json()


@pytest.mark.parametrize("ask", ["field", "header"])
async def test_a_stream_tells_the_run_from_its_first_event_to_its_last(person: Person, ask: str) -> None:
    headers = {"Accept": "text/event-stream"} if ask == "header" else {}
    changes = {"stream": True} if ask == "field" else {}

    answer = await person.execute({"chunks": ["a", "b"]}, headers=headers, **changes)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    told = messages(answer.text)
    assert [each["type"] for each in told] == ["started", "chunk", "chunk", "done"]
    assert [each["seq"] for each in told] == [1, 2, 3, 4]
    assert told[0]["agentId"] == str(person.agent_id)
    assert told[-1]["response"] == "ab"
    assert told[-1]["creditsUsed"] == 1


async def test_a_stream_begins_while_the_run_goes_on(server: TestServer, person: Person) -> None:
    body = person.body({"gate": "streaming"}, stream=True)
    async with person.client.stream("POST", "/api/agent/execute", json=body) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line.startswith("data:"):
                assert '"started"' in line
                break
        server.echo.gates["streaming"].set()
        rest = [line async for line in lines]

    assert any('"done"' in line for line in rest)


async def test_a_stream_of_an_ended_run_is_its_whole_log(person: Person) -> None:
    key = {"Idempotency-Key": "streamed"}
    first = await person.execute({"chunks": ["a", "b"]}, headers=key, stream=True)
    again = await person.execute({"chunks": ["a", "b"]}, headers=key, stream=True)

    assert again.text == first.text
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_client_that_leaves_does_not_stop_the_run(server: TestServer, person: Person) -> None:
    body = person.body({"gate": "left"}, stream=True)
    async with person.client.stream("POST", "/api/agent/execute", json=body) as answer:
        run_url = answer.headers["location"]

    server.echo.gates["left"].set()

    async def has_succeeded() -> bool:
        return bool((await person.client.get(run_url)).json()["status"] == "succeeded")

    await until(has_succeeded)


async def test_a_client_that_leaves_while_it_waits_does_not_stop_the_run(
    server: TestServer, person: Person
) -> None:
    waiting = asyncio.create_task(person.execute({"gate": "hung-up"}))

    async def is_running() -> bool:
        runs = (await person.client.get("/api/runs")).json()["runs"]
        return [run["status"] for run in runs] == ["running"]

    await until(is_running)
    waiting.cancel()
    server.echo.gates["hung-up"].set()

    async def has_succeeded() -> bool:
        runs = (await person.client.get("/api/runs")).json()["runs"]
        return [run["status"] for run in runs] == ["succeeded"]

    await until(has_succeeded)


async def test_the_service_runs_on_behalf_of_a_user(server: TestServer, person: Person) -> None:
    service = {"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)}
    async with server.client(**service) as edge:
        answer = await edge.post("/api/agent/execute", json=person.body({"chunks": ["a"]}))
        receipt = await edge.get(f"/api/runs/{answer.json()['runId']}/receipt")

    assert (answer.status_code, receipt.status_code) == (200, 200)
    assert (await person.client.get("/api/runs")).json()["runs"][0]["runId"] == answer.json()["runId"]


async def test_fields_of_older_front_ends_are_ignored(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        answer = await person.execute(
            {"chunks": ["a"]}, userId=str(other.id), agentConfig={"name": "x"}, functionResults=[1]
        )

        assert answer.status_code == 200
        assert (await other.client.get("/api/runs")).json()["runs"] == []


async def test_a_large_input_arrives_whole(person: Person) -> None:
    text = "x" * 1_500_000

    answer = await person.execute({"files": {"large.txt": text}})

    assert answer.status_code == 200
    artifact = answer.json()["artifacts"][0]
    assert artifact["size"] == len(text)
    assert (await person.client.get(artifact["url"])).text == text


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "naïve".encode(), b"tab\there"])
async def test_a_key_that_protects_nothing_is_refused(person: Person, key: str | bytes) -> None:
    answer = await person.execute({"chunks": ["a"]}, headers={"Idempotency-Key": key})

    assert_problem(answer, 400, "invalid_request")
