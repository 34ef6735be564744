"""NATS absent, killed, held, emptied, locked or without streams: replicas say so, go on, and come back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from foundation.hints.address import Address
from foundation.hints.stream import STREAM
from tests.support.certificate import certificate_for
from tests.support.hints import Replica, a_kind, chunk, holds, replica, waiting
from tests.support.nats import NatsServer, running_nats
from tests.support.process import free_port

CANARY = "canary-of-nats-0123456789"
AWAY = "NATS does not answer; replicas learn of each other's runs from the database"


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    async with running_nats() as running:
        yield running


async def tell_each_other(one: Replica, worker: Replica, kind: str) -> None:
    """All three ways arrive."""
    run, before = uuid4(), worker.works
    await worker.watch(run)
    one.hints.queued(waiting(kind))
    one.hints.cancel(run)
    one.hints.stored({run: [chunk(1)]})
    await holds(lambda: (run, [chunk(1)]) in worker.told and run in worker.cancels)
    await holds(lambda: worker.works > before)


async def test_without_nats_a_replica_starts_at_once_and_says_what_works() -> None:
    with capture_logs() as logs:
        async with replica(f"nats://127.0.0.1:{free_port()}", kinds=["chat"], free=1, is_heard=False) as one:
            one.hints.queued(waiting("chat", count=3))
            one.hints.cancel(uuid4())
            one.hints.stored({uuid4(): [chunk(1)]})
            one.hints.watch(uuid4())
            await holds(lambda: any(line["event"] == "nats_away" for line in logs))

            assert await one.says() == AWAY
            assert (one.figure("alone"), one.figure("dropped_total")) == (1, 5)


async def test_a_nats_that_comes_later_is_found() -> None:
    kind = a_kind()
    async with running_nats() as server:
        server.kill()
        async with (
            replica(server.url, is_heard=False) as one,
            replica(server.url, kinds=[kind], free=1, is_heard=False) as worker,
        ):
            run = uuid4()
            worker.hints.watch(run)
            await server.start()
            await one.heard()
            await worker.heard()

            await tell_each_other(one, worker, kind)
            one.hints.stored({run: [chunk(7)]})
            await holds(lambda: (run, [chunk(7)]) in worker.told)
            assert (await one.says(), one.figure("alone")) == ("ok", 0)


@pytest.mark.parametrize("is_emptied", [False, True], ids=["store kept", "store empty"])
async def test_a_nats_killed_and_started_again_is_used_again(server: NatsServer, *, is_emptied: bool) -> None:
    kind, run = a_kind(), uuid4()
    async with replica(server.url) as one, replica(server.url, kinds=[kind], free=1) as worker:
        await worker.watch(run)
        missed = worker.misses
        server.kill()
        await one.alone()
        await worker.alone()
        # Told once when they are lost, and once more when they are back.
        assert worker.misses == missed + 1
        assert [await one.says(), await worker.says()] == [AWAY, AWAY]

        if is_emptied:
            server.forget()
        await server.start()
        await one.heard()
        await worker.heard()

        assert worker.misses == missed + 2
        one.hints.stored({run: [chunk(1)]})
        await holds(lambda: worker.told == [(run, [chunk(1)])])
        await tell_each_other(one, worker, kind)


async def test_a_nats_that_hangs_is_not_waited_for(server: NatsServer) -> None:
    kind = a_kind()
    async with replica(server.url) as one, replica(server.url, kinds=[kind], free=1) as worker:
        server.hold()
        for _ in range(200):
            one.hints.stored({uuid4(): [chunk(1, "x" * 200_000)]})
            await asyncio.sleep(0)
        await one.alone()
        await worker.alone()
        assert one.figure("dropped_total") > 0
        # It takes connections, and says nothing on them.
        await holds(lambda: one.misses == 2)

        server.release()
        await one.heard()
        await worker.heard()
        await tell_each_other(one, worker, kind)


@pytest.mark.parametrize("is_noticed", [False, True], ids=["not noticed yet", "noticed"])
async def test_a_replica_leaves_a_nats_that_hangs(server: NatsServer, *, is_noticed: bool) -> None:
    with capture_logs() as logs:
        async with replica(server.url, kinds=["chat"], free=1) as one:
            server.hold()
            for _ in range(30):
                one.hints.stored({uuid4(): [chunk(1, "x" * 200_000)]})
            if is_noticed:
                await one.alone()
            async with asyncio.timeout(20):
                await one.hints.drain()
                await one.hints.stop()
    server.release()

    assert [line["event"] for line in logs if line["event"] == "task_did_not_stop"] == []


async def test_a_stream_that_somebody_deletes_is_made_again(server: NatsServer) -> None:
    kind = a_kind()
    async with replica(server.url) as one, replica(server.url, kinds=[kind], free=1) as worker:
        async with server.client() as client:
            await client.jetstream().delete_stream(STREAM)
        # It looks once more when it has made the stream: what was told meanwhile was told to nobody.
        await holds(lambda: worker.works == 1)

        await tell_each_other(one, worker, kind)


async def test_without_streams_every_worker_is_told(tmp_path: Path) -> None:
    kind = a_kind()
    with capture_logs() as logs:
        async with (
            running_nats("--name", "without-streams") as plain,
            replica(plain.url) as front,
            replica(plain.url, kinds=[kind], free=1) as one,
            replica(plain.url, kinds=[kind], free=1) as other,
        ):
            front.hints.queued(waiting(kind, count=3))
            await holds(lambda: one.works == other.works == 3)
            await tell_each_other(front, one, kind)

            assert await one.says() == "NATS has no JetStream for us; every worker looks for every run"
            assert await front.says() == "ok"

            # The same server, now with streams.
            plain.kill()
            await one.alone()
            plain.options = ("-js", "-sd", str(tmp_path))
            other.free = 0
            await plain.start()
            await one.heard()
            await holds(lambda: not one.hints._lacks_streams)
            await front.heard()
            await tell_each_other(front, one, kind)
            assert await one.says() == "ok"

    said = [line for line in logs if line["event"] == "nats_without_streams"]
    assert len(said) == 2  # once by each worker


@pytest.mark.parametrize(
    ("options", "login"),
    [
        (("--user", "switchyard", "--pass", "p@ss w/ord%"), "switchyard:p%40ss w%2Ford%25@"),
        (("--auth", CANARY), f"{CANARY}@"),
    ],
    ids=["user and password", "token"],
)
async def test_the_login_is_the_one_of_the_address(options: tuple[str, ...], login: str) -> None:
    async with running_nats(*options) as server:
        url = server.url.replace("//", f"//{login}")
        async with replica(url) as one, replica(url) as other:
            run = uuid4()
            one.hints.cancel(run)
            await holds(lambda: other.cancels == [run])


async def test_a_login_that_is_refused_is_said_once_and_without_the_password() -> None:
    async with running_nats("--auth", "another") as server:
        with capture_logs() as logs:
            url = server.url.replace("//", f"//switchyard:{CANARY}@")
            async with replica(url, is_heard=False) as one:
                await holds(lambda: bool(logs))
                # It goes on trying.
                server.kill()
                await holds(lambda: len(logs) == 2)

    assert [line["reason"] for line in logs] == ["refuses the login", "does not answer"]
    assert one.hints.are_heard is False
    assert CANARY not in repr(logs) + repr(Address.of(url))


async def test_a_login_that_may_do_no_more_than_is_said_is_enough(tmp_path: Path) -> None:
    may = 'publish: ["switchyard.>", "$JS.API.>", "$JS.ACK.>"], subscribe: ["switchyard.>", "_INBOX.>"]'
    settings = tmp_path / "nats.conf"
    settings.write_text(
        f'jetstream {{ store_dir: "{tmp_path}" }}\n'
        f'authorization {{ user: switchyard, password: "{CANARY}", permissions {{ {may} }} }}\n'
    )
    kind = a_kind()
    async with running_nats("-c", str(settings)) as server:
        url = server.url.replace("//", f"//switchyard:{CANARY}@")
        async with replica(url) as one, replica(url, kinds=[kind], free=1) as worker:
            await tell_each_other(one, worker, kind)

            assert await worker.says() == "ok"


async def test_an_address_that_says_tls_is_used_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificate_for("localhost", tmp_path, address="127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    options = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key), "--auth", CANARY)
    async with running_nats(*options) as server:
        url = server.url.replace("nats://", f"tls://{CANARY}@")
        async with replica(url) as one, replica(url) as other:
            run = uuid4()
            one.hints.cancel(run)
            await holds(lambda: other.cancels == [run])


async def test_a_password_for_tls_is_never_sent_into_the_open() -> None:
    sent = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A server without encryption, or somebody on the way who takes it off."""
        writer.write(b'INFO {"server_id": "x", "version": "2.15.0", "proto": 1, "headers": true}\r\n')
        sent.extend(await reader.read(-1))
        writer.close()

    listener = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with capture_logs() as logs:
        async with listener, replica(f"tls://{CANARY}@127.0.0.1:{port}", is_heard=False):
            await holds(lambda: bool(logs))

    assert logs[0]["reason"] == "is not encrypted, though its address says tls"
    assert sent == b""


async def test_a_replica_too_slow_to_read_is_cut_off_and_looks_at_everything(tmp_path: Path) -> None:
    settings = tmp_path / "nats.conf"
    settings.write_text('max_pending: 1MB\nwrite_deadline: "100ms"\n')
    run = uuid4()
    async with running_nats("-c", str(settings)) as server, replica(server.url) as slow:
        await slow.watch(run)
        missed = slow.misses
        flood = Thread(target=_flood, args=(server.port, run))
        flood.start()
        # The whole process does nothing, as one that is short of memory or of a processor.
        time.sleep(1.0)  # noqa: ASYNC251

        await holds(lambda: slow.misses >= missed + 2)
        await slow.heard()
        await asyncio.to_thread(flood.join)
        async with replica(server.url) as other:
            other.hints.stored({run: [chunk(1)]})
            await holds(lambda: (run, [chunk(1)]) in slow.told)


def _flood(port: int, run: UUID) -> None:
    """Far more than the kernel keeps for one who does not read."""
    payload = b"x" * 500_000
    message = f"PUB switchyard.events.{run} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b'CONNECT {"verbose": false}\r\n')
        for _ in range(100):
            connection.sendall(message)
