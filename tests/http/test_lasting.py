"""What lasts: silence is broken before anybody takes it for the end, and a stream ends itself in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from routing import create_app
from routing.socket.connection import Tempo as SocketTempo
from routing.socket.protocol import SocketProtocol
from routing.stream import Tempo
from tests.support.bare import CLOSE, PING, PONG, Bare, Frames, frame, opening
from tests.support.raw import request_head
from tests.support.server import Person, TestServer, messages, served
from tests.support.sockets import Client, served_door

PINGS = 3
WITHIN_S = 20


class Restless(SocketProtocol):
    """It pings often, and waits for a pong as long as ever."""

    ping_s = 0.05


class Impatient(Restless):
    pong_within_s = 0.05


@pytest.fixture
async def gate(server: TestServer) -> AsyncIterator[str]:
    """What a run waits for, open at the end."""
    name = str(uuid4())
    yield name
    server.echo.gates[name].set()


async def test_silence_on_a_stream_is_broken_by_comments_that_move_no_readers_place(
    server: TestServer, person: Person, gate: str
) -> None:
    run_id = await person.started({"gate": gate})
    headers = [("authorization", f"Bearer {person.token}"), ("accept", "text/event-stream")]
    async with (
        served(create_app(replace(server.backend.app.state.rooms, stream_tempo=Tempo(ping_s=0.05)))) as url,
        Bare.connected(url) as reader,
    ):
        await reader.say(request_head("GET", f"/api/runs/{run_id}/events", headers))
        async with asyncio.timeout(WITHIN_S):
            await reader.until(lambda: reader.received.count(b": ping\n\n") >= PINGS)

    head, _, told = bytes(reader.received).partition(b"id: 1\n")
    assert b": ping" not in head
    assert b"id:" not in told


@pytest.mark.parametrize("way", ["follow", "execute"])
async def test_a_stream_that_has_lasted_long_ends_itself_and_its_reader_goes_on_where_it_was(
    server: TestServer, person: Person, gate: str, way: str
) -> None:
    rooms = replace(server.backend.app.state.rooms, stream_tempo=Tempo(life_s=0.3))
    async with served(create_app(rooms)) as url:
        if way == "follow":
            run_id = await person.started({"gate": gate})
            first = await person.client.get(f"{url}/api/runs/{run_id}/events")
        else:
            body = person.body({"gate": gate}, stream=True)
            first = await person.client.post(f"{url}/api/agent/execute", json=body)
            run_id = messages(first.text)[0]["runId"]
    server.echo.gates[gate].set()
    seen = messages(first.text)
    place = {"Last-Event-ID": str(seen[-2]["seq"])}
    rest = await person.client.get(f"/api/runs/{run_id}/events", headers=place)

    last_block = first.text.strip().rpartition("\n\n")[2]
    assert last_block.splitlines()[0] == "event: reconnect"
    assert "id:" not in last_block
    assert seen[-1] == {"type": "reconnect", "runId": run_id, "eventsUrl": f"/api/runs/{run_id}/events"}
    told = seen[:-1] + messages(rest.text)
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1))
    assert told[-1]["type"] == "done"


class Listening:
    """What a client hears below its messages, and says back."""

    def __init__(self, bare: Bare) -> None:
        self._bare = bare
        self._frames = Frames()
        self._heard: list[tuple[int, bytes]] = []

    async def until(self, opcode: int) -> bytes:
        """The payload of the next frame of that kind."""
        while True:
            while self._heard:
                heard, payload = self._heard.pop(0)
                if heard == opcode:
                    return payload
            async with asyncio.timeout(WITHIN_S):
                await self._bare.until(lambda: bool(self._bare.received))
            self._heard += self._frames.feed(bytes(self._bare.received))
            self._bare.received.clear()


async def test_a_socket_is_pinged_again_and_again_and_lives_while_it_answers(
    server: TestServer, person: Person
) -> None:
    async with (
        served_door(server, SocketTempo(), protocol=Restless) as door,
        Bare.connected(door.url) as client,
    ):
        await client.say(opening(token=person.token))
        assert await client.status() == 101
        listening = Listening(client)

        asked = []
        for _ in range(PINGS):
            asked.append(await listening.until(PING))
            await client.say(frame(PONG, asked[-1]))

        assert len(set(asked)) == PINGS
        assert client.ended is None


async def test_a_socket_that_answers_no_ping_is_ended(server: TestServer, person: Person) -> None:
    async with (
        served_door(server, SocketTempo(), protocol=Impatient) as door,
        Bare.connected(door.url) as client,
    ):
        await client.say(opening(token=person.token))
        assert await client.status() == 101
        listening = Listening(client)

        await listening.until(PING)

        assert int.from_bytes((await listening.until(CLOSE))[:2], "big") == 1011
        await client.gone()


async def test_a_socket_that_follows_ten_runs_resumes_and_cancels_no_other(
    person: Person, client: Client, gate: str
) -> None:
    runs = [await person.started({"gate": gate}) for _ in range(11)]
    for run_id in runs[:10]:
        await client.say("agent_resume", runId=run_id, after=1)
        await client.hear("agent_resumed")

    for type_ in ("agent_resume", "agent_cancel"):
        await client.say(type_, runId=runs[10], requestId=type_)
        refusal = await client.hear("error")
        assert (refusal["code"], refusal["requestId"]) == ("rate_limited", type_)
    await client.say("agent_resume", runId=runs[0], after=1)

    await client.hear("agent_resumed")
