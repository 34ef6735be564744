"""What a reader hears whose next event is no longer kept: where the log goes on, on either transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.server import Person, TestServer, assert_problem, messages
from tests.support.sockets import Client
from tests.support.tables import Tables

JSON = {"Accept": "application/json"}


@pytest.fixture
async def holed(server: TestServer, person: Person) -> AsyncIterator[str]:
    """A run that has ended, with events 1 to 8, of which 3 to 5 are gone."""
    run_id = await person.ended({"chunks": list("abcdef")})
    tables = Tables(server.sql)
    await tables.thin_out(run_id, first=3, last=5)
    yield run_id
    await tables.forget(run_id)


@pytest.mark.parametrize("headers", [{}, JSON], ids=["stream", "page"])
@pytest.mark.parametrize("after", [2, 3, 4])
async def test_a_reader_inside_the_gap_is_told_where_the_log_goes_on(
    person: Person, holed: str, headers: dict[str, str], after: int
) -> None:
    answer = await person.client.get(f"/api/runs/{holed}/events?after={after}", headers=headers)

    problem = assert_problem(answer, 409, "gap")
    assert (problem["oldest"], problem["latest"]) == (6, 8)
    rest = await person.client.get(f"/api/runs/{holed}/events?after={problem['oldest'] - 1}")
    assert [each["seq"] for each in messages(rest.text)] == [6, 7, 8]


async def test_a_page_ends_before_the_gap_and_is_not_the_last(person: Person, holed: str) -> None:
    page = (await person.client.get(f"/api/runs/{holed}/events", headers=JSON)).json()

    assert [each["seq"] for each in page["events"]] == [1, 2]
    assert (page["latest"], page["isTerminal"]) == (8, False)


async def test_a_stream_that_reaches_the_gap_ends_with_the_hint_to_come_back(
    person: Person, holed: str
) -> None:
    told = messages((await person.client.get(f"/api/runs/{holed}/events")).text)

    assert [each.get("seq") for each in told] == [1, 2, None]
    assert told[-1]["type"] == "reconnect"


async def test_a_socket_that_resumes_inside_the_gap_is_told_where_the_log_goes_on(
    client: Client, holed: str
) -> None:
    await client.say("agent_resume", runId=holed, after=3)

    assert await client.hear() == {"type": "agent_gap", "runId": holed, "oldest": 6, "latest": 8}
    await client.say("agent_resume", runId=holed, after=5)
    await client.hear("agent_resumed")
    assert [each["seq"] for each in await client.hear_to_end()] == [6, 7, 8]


async def test_a_socket_that_reaches_the_gap_is_told_too(client: Client, holed: str) -> None:
    await client.say("agent_resume", runId=holed, after=0)
    await client.hear("agent_resumed")

    heard = [await client.hear() for _ in range(3)]

    assert [each.get("seq") for each in heard] == [1, 2, None]
    assert heard[-1] == {"type": "agent_gap", "runId": holed, "oldest": 6, "latest": 8}


async def test_a_run_that_was_removed_reads_as_unknown(
    server: TestServer, person: Person, client: Client
) -> None:
    run_id = await person.ended()
    await server.sql.execute(
        "update switchyard.runs set created_at = created_at - interval '99 days',"
        " ended_at = ended_at - interval '99 days' where id = $1",
        run_id,
    )
    await server.sql.fetchval("select public.switchyard_runs_purge(30, 100)")

    answers = await asyncio.gather(*(gone(person, run_id, path) for path in ("", "/events", "/receipt")))
    await client.say("agent_resume", runId=run_id, after=1)

    for answer in answers:
        assert_problem(answer, 404, "run_not_found")
    assert (await client.hear("error"))["code"] == "run_not_found"


async def gone(person: Person, run_id: str, path: str) -> httpx2.Response:
    return await person.client.get(f"/api/runs/{run_id}{path}")
