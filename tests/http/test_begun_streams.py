"""What a stream or a socket that has begun says when it cannot go on: come back, never that a run ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.scenes import cut_off
from tests.support.server import Document, Person, TestServer, messages, running_server
from tests.support.sockets import Client, opened

# More than a page of the log, and more than all buffers between a server and a client that does not read.
MUCH = {"chunks": ["x" * 40_000] * 230}
ENDS = {"done", "error", "agent_execution_complete", "agent_execution_error"}


@pytest.fixture
async def server(database_server: DatabaseServer) -> AsyncIterator[TestServer]:
    url = await fresh_database(database_server)
    async with running_server(url) as running:
        yield running
    await drop(database_server, url)


class Reader:
    """Reads a stream in two pieces: the first line of an event, and later the rest."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()
        self._read: list[str] = []

    async def begin(self) -> None:
        while not any(line.startswith("data:") for line in self._read):
            self._read.append(await anext(self._lines))

    async def end(self) -> list[Document]:
        return messages("\n".join([*self._read, *[line async for line in self._lines]]))


async def hear_until(client: Client, type_: str) -> list[Document]:
    heard = [await client.hear()]
    while heard[-1]["type"] != type_:
        heard.append(await client.hear())
    return heard


async def test_readers_of_a_server_that_is_told_to_go_are_told_to_come_back(
    server: TestServer, person: Person, client: Client
) -> None:
    run_id = await client.begin(person, {"gate": "drain"})
    async with person.client.stream("GET", f"/api/runs/{run_id}/events") as answer:
        reader = Reader(answer)
        await reader.begin()
        await server.backend.lifecycle.drain(within_s=5)
        told = await reader.end()

    assert told[-1] == {"type": "reconnect", "runId": run_id, "eventsUrl": f"/api/runs/{run_id}/events"}
    assert [each["type"] for each in told[:-1]] == ["started"]
    assert await client.hear() == {"type": "reconnect", "reason": "restarting"}
    with pytest.raises(ConnectionClosed) as ended:
        await client.hear()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1012


async def test_readers_of_a_log_that_cannot_be_read_any_more_are_told_to_come_back(
    server: TestServer, database_server: DatabaseServer, person: Person
) -> None:
    run_id = (await person.execute(MUCH)).json()["runId"]
    query = f"?token={person.token}"
    url = f"/api/runs/{run_id}/events"
    async with (
        person.client.stream("GET", url) as answer,
        opened(server.url, query=query, max_queue=1) as client,
    ):
        await client.hear("connected")
        await client.say("agent_resume", runId=run_id)
        await client.hear("agent_resumed")
        first = await client.hear()
        reader = Reader(answer)
        await reader.begin()
        async with cut_off(server, database_server):
            streamed, heard = await asyncio.gather(reader.end(), hear_until(client, "error"))
        heard = [first, *heard]
        await client.say("agent_resume", runId=run_id, after=heard[-2]["seq"])
        await client.hear("agent_resumed")
        rest = await client.hear_to_end()

    assert streamed[-1]["type"] == "reconnect"
    assert (heard[-1]["code"], heard[-1]["runId"]) == ("database_unavailable", run_id)
    for told in (streamed[:-1], heard[:-1]):
        assert not ENDS & {each["type"] for each in told}
        assert [each["seq"] for each in told] == list(range(1, len(told) + 1))
    assert rest[0]["seq"] == heard[-2]["seq"] + 1
    rest_of_the_stream = messages((await person.client.get(f"{url}?after={streamed[-2]['seq']}")).text)
    assert rest_of_the_stream[-1]["seq"] == rest[-1]["seq"]
