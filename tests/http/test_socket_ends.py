"""How a WebSocket ends: every close code, the limits behind them, and that nothing is done before a proof."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from routing.socket.connection import Tempo
from routing.socket.protocol import SocketProtocol
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.process import ServerProcess
from tests.support.server import ORIGIN, Person, TestServer, running_server, until
from tests.support.sockets import Client, Impatient, connected, opened, read_nothing, served_door

AT_ONCE = 4
UPGRADE = ["GET /ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
KEY = ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]


async def answer_to(server: TestServer, *lines: str, until: bytes = b"\r\n\r\n") -> bytes:
    """What a server says to a request that is sent as it is; its head, unless `until` comes later."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(5):
            return await reader.readuntil(until)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://app.example"]
)
async def test_a_page_of_another_origin_is_sent_away(server: TestServer, person: Person, origin: str) -> None:
    async with opened(server.url, query=f"?token={person.token}", origin=origin) as client:
        assert (await client.hear("error"))["code"] == "origin_not_allowed"
        assert await client.closed() == 4403


async def test_a_page_of_an_allowed_origin_is_let_in(server: TestServer, person: Person) -> None:
    async with opened(server.url, query=f"?token={person.token}", origin=ORIGIN) as client:
        await client.hear("connected")


async def test_two_tokens_that_differ_are_refused(server: TestServer, person: Person) -> None:
    other = server.forge.token(uuid4())
    async with opened(
        server.url, protocols=["switchyard.v1", f"jwt-{person.token}"], query=f"?token={other}"
    ) as client:
        assert (await client.hear("error"))["code"] == "conflicting_credentials"
        assert await client.closed() == 4400


@pytest.mark.parametrize("type_", ["agent_execute", "agent_resume", "agent_cancel", "ping"])
async def test_nothing_is_done_before_the_token_is_proved(
    server: TestServer, person: Person, type_: str
) -> None:
    run_id = await person.ended()
    before = await server.counts()
    async with opened(server.url) as client:
        fields = person.body() if type_ == "agent_execute" else {"runId": run_id}
        await client.say(type_, **fields)
        refusal = await client.hear("error")

        assert refusal["code"] == "invalid_token"
        assert await client.closed() == 4401
    assert await server.counts() == before


@pytest.mark.parametrize("type_", ["agent_execute", "agent_resume", "agent_dance"])
async def test_what_a_stranger_says_wrongly_is_not_explained(server: TestServer, type_: str) -> None:
    async with opened(server.url) as client:
        await client.say(type_, surprise=1)

        assert (await client.hear("error"))["code"] == "invalid_token"
        assert await client.closed() == 4401


async def test_who_does_not_sign_in_is_sent_away(server: TestServer) -> None:
    async with served_door(server, Tempo(auth_s=0.05)) as door, opened(door.url) as client:
        assert (await client.hear("error"))["code"] == "invalid_token"
        assert await client.closed() == 4401


async def test_a_socket_does_not_outlive_its_token(server: TestServer, person: Person) -> None:
    token = server.forge.token(person.id, {"exp": int(time.time()) + 1})
    async with (
        served_door(server, Tempo(grace_s=0)) as door,
        opened(door.url, query=f"?token={token}") as client,
    ):
        await client.hear("connected")
        assert (await client.hear("error"))["code"] == "invalid_token"
        assert await client.closed() == 4401


async def test_a_renewed_token_keeps_the_socket(server: TestServer, person: Person) -> None:
    expires_at = int(time.time()) + 1
    token = server.forge.token(person.id, {"exp": expires_at})
    async with (
        served_door(server, Tempo(grace_s=0)) as door,
        opened(door.url, query=f"?token={token}") as client,
    ):
        await client.hear("connected")
        await client.say("auth", token=person.token)
        await client.hear("connected")

        async def is_over() -> bool:
            await client.say("ping")
            await client.hear("pong")
            return time.time() > expires_at + 0.1

        await until(is_over)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "null", "{", '{"type": 1}', "{}", "[" * 9_999],
)
async def test_what_is_no_message_ends_the_socket(client: Client, text: str) -> None:
    await client.connection.send(text)

    assert (await client.hear("error"))["code"] == "invalid_request"
    assert await client.closed() == 4400


async def test_bytes_are_no_message(client: Client) -> None:
    await client.connection.send(b'{"type": "ping"}')

    assert await client.closed() == 4400


async def test_a_message_holds_256_kb(client: Client) -> None:
    await client.connection.send('{"type": "ping", "a": "' + "x" * (256 * 1024 - 25) + '"}')
    await client.hear("pong")

    # What is still on its way when the server has had enough does not reset the connection.
    with suppress(ConnectionClosed):
        await client.connection.send("x" * 8_000_000)
    assert await client.closed() == 1009


async def test_a_client_that_says_too_much_may_finish_before_it_is_cut_off(server: TestServer) -> None:
    async with served_door(server, Tempo()) as door:
        address = urlsplit(door.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write("\r\n".join([*UPGRADE, *KEY, "", ""]).encode())
        await reader.readuntil(b"\r\n\r\n")
        # The head of a masked text frame of 8 MB.
        writer.write(b"\x81\xff" + (8_000_000).to_bytes(8, "big") + bytes(4))
        head = await reader.readexactly(4)

        assert (head[0], int.from_bytes(head[2:], "big")) == (0x88, 1009)
        assert not await door.is_alone()
        await until(door.is_alone)
        writer.close()
        await writer.wait_closed()


async def test_the_sixth_socket_of_a_user_is_sent_away(server: TestServer, person: Person) -> None:
    async with AsyncExitStack() as five:
        for _ in range(5):
            await five.enter_async_context(connected(server, person))
        async with opened(server.url, query=f"?token={person.token}") as sixth:
            assert (await sixth.hear("error"))["code"] == "rate_limited"
            assert await sixth.closed() == 4429

    async def comes_in() -> bool:
        async with opened(server.url, query=f"?token={person.token}") as client:
            return bool((await client.hear())["type"] == "connected")

    await until(comes_in)


async def test_how_many_sockets_a_user_may_hold_is_a_setting(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with (
        running_server(url, sockets_per_user=3) as server,
        server.person() as person,
        AsyncExitStack() as three,
    ):
        for _ in range(3):
            await three.enter_async_context(connected(server, person))
        async with opened(server.url, query=f"?token={person.token}") as fourth:
            assert (await fourth.hear("error"))["code"] == "rate_limited"
            assert await fourth.closed() == 4429
    await drop(database_server, url)


async def test_a_socket_follows_ten_runs(server: TestServer, person: Person, client: Client) -> None:
    runs = [await client.begin(person, {"gate": "ten"}) for _ in range(10)]
    await client.execute(person, {"gate": "ten"}, requestId="eleventh")

    refusal = await client.hear("error")

    assert (refusal["code"], refusal["requestId"]) == ("rate_limited", "eleventh")
    assert len((await person.client.get("/api/runs?limit=100")).json()["runs"]) == 10
    await client.say("agent_resume", runId=runs[0], after=1)
    await client.hear("agent_resumed")
    server.echo.gates["ten"].set()
    for _ in runs:
        await client.hear("agent_execution_complete")
    await client.begin(person)


async def test_a_flood_of_messages_is_refused_and_then_ended(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with (
        running_server(url, requests_per_minute=5) as server,
        server.person() as person,
        connected(server, person) as client,
    ):
        heard = []
        for _ in range(10):
            await client.say("ping")
            heard.append(await client.hear())
        for _ in range(30):
            await client.say("ping")

        assert {each["type"] for each in heard[:4]} == {"pong"}
        assert {each.get("code") for each in heard[4:]} == {"rate_limited"}
        assert heard[-1]["retryAfter"] >= 1
        assert await client.closed() == 4429
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def writer(server: TestServer) -> AsyncIterator[tuple[Person, list[str]]]:
    """Somebody whose runs are far more than all buffers hold."""
    async with server.person() as person:
        yield person, [await person.ended({"chunks": ["x" * 50_000] * 18}) for _ in range(7)]


async def test_a_reader_that_does_not_read_is_given_up(
    server: TestServer, writer: tuple[Person, list[str]]
) -> None:
    person, runs = writer
    async with (
        served_door(server, Tempo(), protocol=Impatient) as door,
        opened(door.url, query=f"?token={person.token}", max_queue=1, max_size=None) as client,
    ):
        await read_nothing(server, client, runs)

        await until(door.is_done)
        assert await client.closed() == 4408


async def test_little_is_held_for_a_reader_that_does_not_read(
    server: TestServer, writer: tuple[Person, list[str]]
) -> None:
    person, runs = writer
    async with (
        served_door(server, Tempo()) as door,
        opened(door.url, query=f"?token={person.token}", max_queue=1, max_size=None) as client,
    ):
        await read_nothing(server, client, runs)
        (connection,) = door.state.connections
        assert isinstance(connection, SocketProtocol)

        async def is_full() -> bool:
            return not connection.writable.is_set()

        await until(is_full)
        assert held_bytes(connection.transport) <= 300_000


def held_bytes(transport: asyncio.Transport) -> int:
    """What this process and its kernel keep of what was sent and not yet taken."""
    raw = transport.get_extra_info("socket")
    unsent = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
    return transport.get_write_buffer_size() + int.from_bytes(unsent, sys.byteorder)


async def test_a_reader_that_never_reads_again_is_cut_off(
    server: TestServer, writer: tuple[Person, list[str]]
) -> None:
    person, runs = writer

    class Hasty(Impatient):
        close_within_s = 0.1

    async with (
        served_door(server, Tempo(), protocol=Hasty) as door,
        opened(door.url, query=f"?token={person.token}", max_queue=1, max_size=None) as client,
    ):
        await read_nothing(server, client, runs)

        await until(door.is_alone)


async def test_the_goodbye_comes_before_the_end(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with (
        running_server(url) as server,
        server.person() as person,
        served_door(server, Tempo()) as door,
        opened(door.url, query=f"?token={person.token}") as client,
    ):
        await client.hear("connected")
        await server.backend.app.state.rooms.readers.drain()
        for connection in door.state.connections:
            connection.shutdown()

        await client.hear("reconnect")
        assert await client.closed() == 1012
    await drop(database_server, url)


async def test_a_process_that_leaves_says_so_first(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url) as server, server.person() as person:
        async with connected(server, person) as client, opened(server.url) as stranger:
            run_id = await client.begin(person, {"gate": "drain"})
            await server.backend.lifecycle.drain(within_s=5)

            assert (await client.hear("reconnect"))["reason"] == "restarting"
            assert await client.closed() == 1012
            assert await stranger.closed() == 1012
        run = (await person.client.get(f"/api/runs/{run_id}")).json()
        assert run["status"] in {"queued", "running"}
        async with opened(server.url, query=f"?token={person.token}") as late:
            assert await late.closed() == 1012
    await drop(database_server, url)


async def test_a_process_told_to_go_says_so_on_its_sockets(demo_url: str, tmp_path: Path) -> None:
    async with ServerProcess.running(DATABASE_URL=demo_url, DATA_DIR=str(tmp_path)) as process:
        token = process.client.headers["authorization"].removeprefix("Bearer ")
        async with opened(str(process.client.base_url).rstrip("/"), query=f"?token={token}") as client:
            await client.hear("connected")
            exiting = asyncio.create_task(process.terminate(within_s=20))

            assert (await client.hear("reconnect"))["reason"] == "restarting"
            assert await client.closed() == 1012
            assert await exiting == 0


async def test_a_server_that_stops_ends_its_sockets(server: TestServer, person: Person) -> None:
    async with AsyncExitStack() as clients:
        async with served_door(server, Tempo()) as door:
            client = await clients.enter_async_context(opened(door.url, query=f"?token={person.token}"))
            await client.hear("connected")

        assert await client.closed() == 1012


@pytest.mark.parametrize(
    "lines",
    [
        [*UPGRADE, *KEY, "X-Long: " + "x" * 9_000],
        [*UPGRADE, *KEY, *(f"X-{number}: x" for number in range(200))],
        [UPGRADE[0].replace("GET", "POST"), *UPGRADE[1:], *KEY],
        [*UPGRADE, KEY[0]],
        [*UPGRADE, KEY[1]],
    ],
    ids=["a long header", "many headers", "POST", "no key", "no version"],
)
async def test_an_opening_that_cannot_be_read_is_refused_at_once(
    server: TestServer, lines: list[str]
) -> None:
    answer = await answer_to(server, *lines)

    assert answer.startswith(b"HTTP/1.1 4")


async def test_there_is_one_path(server: TestServer) -> None:
    opening = [UPGRADE[0].replace("/ws", "/elsewhere"), *UPGRADE[1:], *KEY]

    head, _, body = (await answer_to(server, *opening, until=b"}")).partition(b"\r\n\r\n")

    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 404")
    assert b"application/problem+json" in head
    assert (problem["status"], problem["code"]) == (404, "not_found")
    assert f"x-request-id: {problem['requestId']}".encode() in head.lower()


async def test_compression_is_not_taken(server: TestServer, person: Person) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    close = "Origin: https://evil.example"
    answer = await answer_to(server, *UPGRADE, *KEY, offer, close)

    assert answer.startswith(b"HTTP/1.1 101")
    assert b"deflate" not in answer
