"""NATS as its image starts it: with a password, with storage that outlives it, and not as root."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import psutil
import pytest
from nats.aio.client import Client

from tests.support.database import open_folder
from tests.support.nats import nats_program
from tests.support.process import ROOT, free_port, until

# Of digits, which a configuration file without quotes would take for a number too large.
PASSWORD = "1234567890" * 4
USER = 1001


@dataclass(frozen=True)
class Place:
    """The files of the image where any user can reach them, and a volume that belongs to whoever we are."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "data"

    def environment(self, **changes: str) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder), os.environ["PATH"]])
        ports = {"NATS_PORT": str(free_port()), "PORT": str(free_port())}
        return {"PATH": path, "NATS_STORE": str(self.store), "NATS_PASSWORD": PASSWORD, **ports, **changes}


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place(open_folder())
    for file in (ROOT / "deploy" / "nats" / "start", ROOT / "deploy" / "nats" / "nats.conf", nats_program()):
        shutil.copy2(file, found.folder)
        (found.folder / file.name).chmod(0o755)
    found.store.mkdir(mode=0o755)
    yield found
    shutil.rmtree(found.folder)


async def test_what_a_stream_holds_outlives_the_server(place: Place) -> None:
    async with _running(place) as (client, _):
        await client.jetstream().add_stream(name="work", subjects=["work.>"])
        await client.jetstream().publish("work.one", b"hello")

    async with _running(place) as (client, _):
        found = await client.jetstream().stream_info("work")

    assert found.state.messages == 1


async def test_it_is_not_root_even_where_the_volume_is(place: Place) -> None:
    async with _running(place) as (_, process):
        found = psutil.Process(process.pid).uids()

    wanted = USER if os.geteuid() == 0 else os.geteuid()
    assert set(found) == {wanted}
    assert {each.stat().st_uid for each in place.store.rglob("*")} == {wanted}


@pytest.mark.parametrize("credentials", [{}, {"user": "switchyard", "pass": "guessed"}])
async def test_nobody_comes_in_without_the_password(place: Place, credentials: dict[str, str]) -> None:
    async with _running(place) as (client, _):
        address = client.connected_url
        assert address is not None

        said = await _exchange(address.port or 0, f"CONNECT {json.dumps(credentials)}\r\nPING\r\n")

    assert b"-ERR 'Authorization Violation'" in said
    assert b"PONG" not in said


@pytest.mark.parametrize("password", ["", "short", 'with a " quote, and long enough to be taken'])
async def test_a_password_that_is_none_is_refused_in_one_sentence(place: Place, password: str) -> None:
    process = await _start(place.environment(NATS_PASSWORD=password), place, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 10)

    assert process.returncode == 2
    assert said.decode().startswith("NATS_PASSWORD: wants ")
    assert said.decode().count("\n") == 1


@asynccontextmanager
async def _running(place: Place) -> AsyncIterator[tuple[Client, asyncio.subprocess.Process]]:
    """It, and a client that is signed in; ended by SIGTERM."""
    environment = place.environment()
    process = await _start(environment, place, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until(lambda: _answers(process, int(environment["PORT"])), within_s=15)
        client = await nats.connect(
            f"nats://switchyard:{PASSWORD}@127.0.0.1:{environment['NATS_PORT']}", allow_reconnect=False
        )
        try:
            yield client, process
        finally:
            await client.close()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)


async def _start(environment: dict[str, str], place: Place, *, stderr: int) -> asyncio.subprocess.Process:
    start = str(place.folder / "start")
    return await asyncio.create_subprocess_exec(start, env=environment, stderr=stderr)


async def _answers(process: asyncio.subprocess.Process, port: int) -> bool:
    """Whether `/healthz` says that all is well."""
    assert process.returncode is None, f"it ended with {process.returncode}"
    try:
        return b" 200 " in await _exchange(port, "GET /healthz HTTP/1.0\r\n\r\n")
    except OSError:
        return False


async def _exchange(port: int, text: str) -> bytes:
    """All that the other end says until it closes, when it is told `text`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return said
