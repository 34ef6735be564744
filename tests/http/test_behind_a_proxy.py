"""What stands between callers and this server: which of its words are believed, and which change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.raw import exchange
from tests.support.server import TestServer, running_server

PER_MINUTE = 5
# What a stranger may write into a request to be taken for somebody else each time.
FORGED = [
    {"X-Forwarded-For": "192.0.2.{n}"},
    {"Forwarded": "for=192.0.2.{n};proto=https;host=elsewhere.example"},
    {"X-Client-IP": "192.0.2.{n}", "True-Client-IP": "192.0.2.{n}", "CF-Connecting-IP": "192.0.2.{n}"},
]
HOSTS = ["healthcheck.railway.app", "elsewhere.example:1", "[::1]", "a" * 300, "<script>", "x/@y", "..", ""]


@asynccontextmanager
async def limited(database_server: DatabaseServer, **settings: object) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url, requests_per_minute=PER_MINUTE, **settings) as server:
        yield server
    await drop(database_server, url)


@pytest.fixture
async def on_railway(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    async with limited(database_server, railway_service_id="b1a7") as server:
        yield server


@pytest.fixture
async def elsewhere(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    """Production on any other platform."""
    async with limited(database_server, environment="production") as server:
        yield server


async def statuses(server: TestServer, headers: Iterable[Mapping[str, str]]) -> list[int]:
    async with server.client() as stranger:
        return [(await stranger.get("/api/credits", headers=dict(each))).status_code for each in headers]


async def test_on_railway_strangers_are_told_apart_by_what_its_proxy_says(on_railway: TestServer) -> None:
    one = [{"X-Real-IP": "192.0.2.1"}] * (PER_MINUTE + 1)
    others = [{"X-Real-IP": f"192.0.2.{n}"} for n in range(2, 20)]

    assert await statuses(on_railway, one) == [401] * PER_MINUTE + [429]
    assert await statuses(on_railway, others) == [401] * len(others)


async def test_elsewhere_nobody_chooses_an_address(elsewhere: TestServer) -> None:
    chosen = [{"X-Real-IP": f"192.0.2.{n}"} for n in range(PER_MINUTE + 2)]

    assert await statuses(elsewhere, chosen) == [401] * PER_MINUTE + [429] * 2


@pytest.mark.parametrize("forged", FORGED, ids=lambda headers: next(iter(headers)))
async def test_other_words_about_the_client_are_believed_nowhere(
    on_railway: TestServer, forged: dict[str, str]
) -> None:
    asked = [
        {"X-Real-IP": "198.51.100.7", **{name: value.format(n=n) for name, value in forged.items()}}
        for n in range(PER_MINUTE + 1)
    ]

    assert (await statuses(on_railway, asked))[-1] == 429


@pytest.mark.parametrize("host", HOSTS)
async def test_no_host_is_refused_and_no_answer_is_made_from_it(server: TestServer, host: str) -> None:
    head = (
        f"Host: {host}\r\nX-Forwarded-Host: elsewhere.example\r\nX-Forwarded-Proto: https\r\n"
        "Connection: close\r\n\r\n"
    )

    for path, status in (("/health/readiness", 200), ("/health/readiness/", 404), ("/docs", 200)):
        answer = await exchange(server.url, f"GET {path} HTTP/1.1\r\n{head}".encode())

        assert answer is not None
        assert answer.status_code == status
        assert "location" not in answer.headers
        assert "elsewhere.example" not in answer.text


async def test_a_run_is_found_under_a_path_whatever_the_host(server: TestServer) -> None:
    async with server.person() as person:
        answer = await person.execute({}, headers={"Host": "elsewhere.example", "Prefer": "respond-async"})

        assert answer.headers["location"] == f"/api/runs/{answer.json()['runId']}"
        assert answer.json()["eventsUrl"].startswith("/api/runs/")
        assert "elsewhere.example" not in answer.text
