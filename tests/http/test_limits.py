"""How often and how much one caller may ask, and how they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.server import SERVICE_SECRET, TestServer, assert_problem, running_server, until

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
