"""What Sentry is told: our own faults, once each, and nothing that anybody has written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from foundation.lifecycle import Lifecycle, TaskOwner
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.sentry import DSN_KEY, Sentry, serve_sentry
from tests.support.server import SERVICE_SECRET, Person, TestServer, running_server
from tests.support.sockets import connected as socket_of

CANARY = "canary"


@pytest.fixture(scope="module")
async def sentry() -> AsyncIterator[Sentry]:
    async with serve_sentry() as sentry:
        yield sentry


@pytest.fixture(scope="module")
def plain_log() -> Iterator[None]:
    """Lines as the server writes them: those of a terminal take a second for every stack."""
    before = structlog.get_config()["processors"]
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    yield
    structlog.configure(processors=before)


@pytest.fixture(scope="module")
async def server(
    database_server: DatabaseServer, sentry: Sentry, plain_log: None
) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url, sentry_dsn=sentry.dsn) as running:
        running.backend.app.add_api_route("/broken/{name}", broken)
        yield running
    await drop(database_server, url)


async def broken(name: str) -> None:
    secret = f"{CANARY} of {name}"
    raise LookupError(f"nothing is at {secret}")


async def test_a_request_that_breaks_is_one_event_however_often_it_is_made(
    server: TestServer, person: Person, sentry: Sentry
) -> None:
    for number in range(50):
        answer = await person.client.get(f"/broken/{number}", headers={"x-request-id": f"q-{number}"})
        assert answer.status_code == 500
    event = await sentry.until_told("request_broke")
    # Reports leave in their order: what came before this one has come.
    structlog.get_logger("test").error("a_last_one")
    await sentry.until_told("a_last_one")

    assert len(sentry.of("request_broke")) == 1
    (raised,) = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("LookupError", "LookupError")
    assert raised["stacktrace"]["frames"][-1]["function"] == "broken"
    assert raised["stacktrace"]["frames"][-1]["in_app"] is True
    assert event["tags"]["request_id"] == "q-0"
    assert event["release"].startswith("switchyard@")
    assert event["environment"] == "development"
    assert event["fingerprint"][-1].endswith(":broken")


async def test_nothing_that_was_sent_said_or_held_is_in_a_report(
    server: TestServer, person: Person, sentry: Sentry
) -> None:
    headers = {"x-note": CANARY, "cookie": f"a={CANARY}", "user-agent": CANARY}
    await person.client.get(f"/broken/{CANARY}?note={CANARY}", headers=headers)
    await person.execute({"chunks": [CANARY], "bug": True})

    await sentry.until_told("request_broke")
    event = await sentry.until_told("agent_failed")
    assert event["tags"]["kind"] == "echo"
    assert event["tags"]["run_id"]
    sent = sentry.bodies.replace(b"{CANARY} of {name}", b"")  # the line of the source it was raised in
    assert CANARY.encode() not in sent
    assert b"a secret of the agent" not in sent.replace(b'raise RuntimeError(\\"a secret of the agent', b"")
    assert b'"vars"' not in sent
    for secret in (person.token, SERVICE_SECRET, str(person.id), DSN_KEY):
        assert secret.encode() not in sent


async def test_a_message_on_a_socket_that_breaks_is_reported(
    server: TestServer, person: Person, sentry: Sentry
) -> None:
    await server.sql.execute("alter function public.switchyard_runs_cancel rename to nobody_calls_this")
    async with socket_of(server, person) as client:
        await client.say("agent_cancel", runId=await person.ended())
        said = await client.hear()
    await server.sql.execute("alter function public.nobody_calls_this rename to switchyard_runs_cancel")

    event = await sentry.until_told("request_failed")
    assert event["tags"]["code"] == said["code"] == "internal_error"
    assert event["exception"]["values"][0]["type"] == "UndefinedFunctionError"


async def test_what_callers_do_wrong_is_not_reported(
    server: TestServer, person: Person, sentry: Sentry
) -> None:
    before = len(sentry.events)
    async with server.client() as stranger:
        await stranger.get("/api/credits")
    await person.client.get("/nowhere")
    await person.client.post("/api/agent/execute", json={"agentId": 1})
    await person.execute({"fail": "as it was asked to"})
    structlog.get_logger("test").error("a_marker")
    await sentry.until_told("a_marker")

    assert len(sentry.events) == before + 1


async def test_periodic_work_that_fails_and_a_drain_that_is_late_are_reported(
    server: TestServer, sentry: Sentry
) -> None:
    async def fails() -> None:
        raise OSError(CANARY)

    owner = TaskOwner("test")
    owner.every("sweep", seconds=60, work=fails)
    lifecycle = Lifecycle([Endless()])
    await lifecycle.start()
    await lifecycle.drain(within_s=0.01)

    failed = await sentry.until_told("periodic_work_failed")
    late = await sentry.until_told("drain_late")
    await owner.stop()
    assert failed["tags"]["work"] == "sweep"
    assert failed["exception"]["values"][-1]["type"] == "OSError"
    assert "exception" not in late


async def test_a_library_is_named_and_not_quoted(server: TestServer, sentry: Sentry) -> None:
    structlog.get_logger("library").error(f"could not read {CANARY}", path=CANARY)

    event = await sentry.until_told("line_of_a_library")

    assert CANARY not in str(event)


class Endless:
    async def start(self) -> None: ...

    async def drain(self) -> None:
        await asyncio.sleep(60)

    async def stop(self) -> None: ...
