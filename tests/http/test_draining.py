"""What a server answers from the moment it was told to go, and to whom it listens no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.raw import request_head
from tests.support.server import Person, TestServer, assert_problem, messages, running_server


@pytest.fixture
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


async def test_new_requests_are_sent_elsewhere(server: TestServer, person: Person) -> None:
    server.backend.health.begin_draining()

    refused = [
        await person.execute({}),
        await person.client.get("/api/credits"),
        await person.client.get("/api/agents"),
    ]

    for answer in refused:
        assert_problem(answer, 503, "draining")
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["connection"] == "close"


async def test_probes_are_answered_to_the_end(server: TestServer) -> None:
    server.backend.health.begin_draining()

    async with server.client() as probe:
        answers = {
            path: await probe.get(path)
            for path in ("/health/liveness", "/health/readiness", "/health", "/api/agent/health")
        }

    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/health/liveness": 200,
        "/health/readiness": 503,
        "/health": 503,
        "/api/agent/health": 503,
    }
    assert {answer.headers["connection"] for answer in answers.values()} == {"close"}


async def test_a_browser_that_asks_for_a_stream_gets_one_that_sends_it_on(
    server: TestServer, person: Person
) -> None:
    run_id = await person.ended({"chunks": ["a"]})
    server.backend.health.begin_draining()
    await server.backend.app.state.rooms.readers.drain()

    headers = {"Accept": "text/event-stream"}
    answer = await person.client.get(f"/api/runs/{run_id}/events", headers=headers)

    assert answer.status_code == 200
    assert messages(answer.text)[-1]["type"] in {"reconnect", "done"}


async def test_a_body_half_sent_is_not_waited_for(server: TestServer, person: Person) -> None:
    head = request_head(
        "POST",
        "/api/agent/execute",
        [
            ("authorization", f"Bearer {person.token}"),
            ("content-type", "application/json"),
            ("content-length", "1000"),
            ("expect", "100-continue"),
        ],
    )
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    # Said when the body is waited for: the caller was proved before.
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"agentId":')

    server.backend.health.begin_draining()

    async with asyncio.timeout(5):
        answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 503 ")
    assert '"code":"draining"' in answer
    assert "connection: close" in answer.lower()


async def test_a_request_under_way_is_answered_and_its_connection_closed(
    server: TestServer, person: Person
) -> None:
    waiting = asyncio.create_task(person.execute({"gate": "slow"}))
    while server.echo.runs == 0:
        await asyncio.sleep(0.01)

    server.backend.health.begin_draining()
    await server.backend.lifecycle.drain(within_s=5)

    answer = await waiting
    assert answer.status_code == 202
    assert answer.headers["connection"] == "close"
