"""Two ways to a client, the direct one and the one that waits: both tell the same."""

from __future__ import annotations

import pytest
from uvicorn._types import ASGISendEvent

from routing.socket.connection import Tempo
from routing.socket.protocol import SocketProtocol
from tests.support.server import Document, Person, TestServer
from tests.support.sockets import opened, served_door


class Direct(SocketProtocol):
    """Nothing may take the way that waits."""

    async def send(self, message: ASGISendEvent) -> None:
        assert message["type"] != "websocket.send", message
        await super().send(message)


class Waiting(SocketProtocol):
    """As a server that offers no other way."""

    def _offer_to_write(self) -> None:
        return


async def heard_of(
    server: TestServer, person: Person, run_id: str, *, by: type[SocketProtocol]
) -> list[Document]:
    async with (
        served_door(server, Tempo(), protocol=by) as door,
        opened(door.url, protocols=["switchyard.v1", f"jwt-{person.token}"]) as client,
    ):
        await client.hear("connected")
        await client.say("agent_resume", runId=run_id)
        await client.hear("agent_resumed")
        return await client.hear_to_end()


@pytest.mark.parametrize("way", [Direct, Waiting])
async def test_a_run_is_told_whole_and_in_order(
    server: TestServer, person: Person, way: type[SocketProtocol]
) -> None:
    words = ["short", "", "x" * 200, "ü" * 30_000, "end"]
    run_id = await person.ended({"chunks": words})

    heard = await heard_of(server, person, run_id, by=way)

    assert [message["seq"] for message in heard] == list(range(1, len(heard) + 1))
    assert "".join(each["content"] for each in heard if each["type"] == "agent_chunk") == "".join(words)
    assert heard[-1]["type"] == "agent_execution_complete"
