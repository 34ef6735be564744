"""How often and how much one caller may ask, and how they are told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.minutes import until_a_minute_lasts
from tests.support.server import SERVICE_SECRET, TestServer, assert_problem, running_server, until
from tests.support.sockets import connected

PER_MINUTE = 5


@pytest.fixture(scope="module")
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url, requests_per_minute=PER_MINUTE) as running:
        yield running
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def open_server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


async def test_one_request_too_many_is_told_when_to_come_back(server: TestServer) -> None:
    async with server.person() as person:
        answers = [await person.client.get("/api/credits") for _ in range(PER_MINUTE + 1)]

    assert [answer.status_code for answer in answers] == [200] * PER_MINUTE + [429]
    assert answers[0].headers["ratelimit-policy"] == f'"requests";q={PER_MINUTE};w=60'
    assert answers[0].headers["ratelimit"].startswith(f'"requests";r={PER_MINUTE - 1};t=')
    problem = assert_problem(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) == problem["retryAfter"] <= 60
    assert answers[-1].headers["ratelimit"].startswith('"requests";r=0;t=')


async def test_one_callers_limit_is_not_anothers(server: TestServer) -> None:
    async with server.person() as busy, server.person() as calm:
        for _ in range(PER_MINUTE + 1):
            await busy.client.get("/api/credits")

        assert (await calm.client.get("/api/credits")).status_code == 200


async def test_an_edge_function_is_counted_for_whom_it_speaks(server: TestServer) -> None:
    async with server.person() as one, server.person() as other, server.client() as edge:
        statuses = [
            (
                await edge.get(
                    "/api/credits",
                    headers={"x-railway-secret": SERVICE_SECRET, "x-user-id": str(person.id)},
                )
            ).status_code
            for person in (one, other)
            for _ in range(PER_MINUTE)
        ]

    assert set(statuses) == {200}


async def test_who_proves_nothing_is_counted_by_address(server: TestServer) -> None:
    async with server.client() as stranger:
        statuses = [
            (await stranger.get("/api/credits", headers={"authorization": f"Bearer {n}"})).status_code
            for n in range(PER_MINUTE + 2)
        ]
        forged = await stranger.get("/api/credits", headers={"x-real-ip": "192.0.2.9"})

    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert forged.status_code == 429


async def test_probes_are_never_limited(server: TestServer) -> None:
    async with server.client() as probe:
        statuses = [(await probe.get("/health/liveness")).status_code for _ in range(PER_MINUTE * 3)]

    assert set(statuses) == {200}


async def test_the_limit_of_a_plan_is_told_too(open_server: TestServer) -> None:
    await until_a_minute_lasts()
    async with open_server.person(plan="free") as person:
        answers = [await person.execute({"chunks": ["a"]}) for _ in range(6)]

    problem = assert_problem(answers[-1], 429, "rate_limited")
    assert "retryAfter" in problem
    assert "retry-after" in answers[-1].headers


async def test_one_user_may_read_a_hundred_streams(open_server: TestServer) -> None:
    async with open_server.person() as person, AsyncExitStack() as streams:
        run_id = await person.started({"gate": "crowd"})
        clients = [await streams.enter_async_context(open_server.client()) for _ in range(100)]
        headers = {"authorization": f"Bearer {person.token}"}
        url = f"/api/runs/{run_id}/events"
        await asyncio.gather(
            *(streams.enter_async_context(each.stream("GET", url, headers=headers)) for each in clients)
        )

        refused = await person.client.get(url)
        on_execute = await person.execute({"chunks": ["a"]}, stream=True)

        assert_problem(refused, 429, "rate_limited")
        assert_problem(on_execute, 429, "rate_limited")
        await streams.aclose()

        async def is_let_in() -> bool:
            async with person.client.stream("GET", url) as again:
                return again.status_code == 200

        await until(is_let_in)
        open_server.echo.gates["crowd"].set()


async def test_every_answer_to_somebody_tells_what_is_left(open_server: TestServer) -> None:
    async with open_server.person() as person:
        run_id = await person.ended({"chunks": ["a"]})
        events = f"/api/runs/{run_id}/events"
        answers = [
            await person.client.get("/api/credits"),
            await person.client.get(events),
            await person.client.get(f"{events}?after=3"),
            await person.client.get(f"{events}?after=99"),
            await person.client.get("/api/runs/no-run"),
            await person.client.post("/api/agent/execute", json={}),
            await person.client.post("/api/agent/execute", content=b"{}"),
            await person.execute({"chunks": ["a"]}),
            await person.execute({"chunks": ["a"]}, stream=True),
            await person.execute({"fail": "no"}),
            await person.execute({"gate": "left"}, headers={"Prefer": "respond-async"}),
        ]
        open_server.echo.gates["left"].set()

    assert [each.status_code for each in answers] == [200, 200, 204, 400, 404, 422, 415, 200, 200, 502, 202]
    quota = 100_000
    for number, answer in enumerate(answers, 2):
        assert answer.headers["ratelimit-policy"] == f'"requests";q={quota};w=60'
        told = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert told is not None
        assert int(told[1]) == quota - number
        assert 1 <= int(told[2]) <= 60
        assert "retry-after" not in answer.headers


async def test_an_answer_to_nobody_tells_what_is_left_for_the_address(open_server: TestServer) -> None:
    async with open_server.client() as stranger:
        answers = [await stranger.get(path) for path in ("/api/credits", "/api/runs/x/events")]

    left = [re.findall(r"r=(\d+)", answer.headers["ratelimit"]) for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert int(left[0][0]) == int(left[1][0]) + 1


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_refusal_tells_the_same_three_times(server: TestServer, accept: str) -> None:
    async with server.person() as person:
        run_id = await person.ended()
        url, headers = f"/api/runs/{run_id}/events", {"accept": accept}
        answers = [await person.client.get(url, headers=headers) for _ in range(PER_MINUTE)]

    assert [answer.status_code for answer in answers] == [200] * (PER_MINUTE - 1) + [429]
    problem = assert_problem(answers[-1], 429, "rate_limited")
    wait_s = problem["retryAfter"]
    assert answers[-1].headers["retry-after"] == str(wait_s)
    assert answers[-1].headers["ratelimit"] == f'"requests";r=0;t={wait_s}'
    assert answers[-1].headers["ratelimit-policy"] == f'"requests";q={PER_MINUTE};w=60'
    assert problem["policy"] == f"{PER_MINUTE} requests in 60 s"


async def test_what_is_said_on_a_socket_counts_as_requests_do(server: TestServer) -> None:
    async with server.person() as person, connected(server, person) as client:
        for _ in range(2):
            await client.say("ping")
            await client.hear("pong")
        answer = await person.client.get("/api/credits")
        await client.say("ping")
        await client.hear("pong")
        await client.say("ping", requestId="late")
        refusal = await client.hear("error")

    assert answer.headers["ratelimit"].startswith(f'"requests";r={PER_MINUTE - 4};t=')
    assert (refusal["code"], refusal["requestId"]) == ("rate_limited", "late")
    assert refusal["policy"] == f"{PER_MINUTE} requests in 60 s"
    assert 1 <= refusal["retryAfter"] <= 60
