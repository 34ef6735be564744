from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from foundation.db import EmbeddedPostgres, embedded_url
from foundation.errors import DatabaseUnavailable, NotConfigured
from tests.support.database import ask, copy_cluster, open_folder, postmaster_pid, running_postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change its user")


@pytest.fixture(scope="module")
async def served(made_cluster: Path) -> AsyncIterator[Path]:
    """A data folder whose server runs with nothing but its own settings; tests leave it running."""
    folder = open_folder()
    copy_cluster(made_cluster, folder / "data")
    postgres = EmbeddedPostgres(folder / "data", reachable_root=folder / "root")
    await postgres.start()
    yield folder / "data"
    await postgres.stop()
    shutil.rmtree(folder)


async def test_what_was_written_is_there_after_a_restart_at_the_same_address(data_dir: Path) -> None:
    async with running_postgres(data_dir) as first:
        url = first.url
        await ask(url, "create table t as select 1 as x")

    async with running_postgres(data_dir) as second:
        assert second.url == url == embedded_url(data_dir)
        assert await ask(url, "select x from t") == 1

    with pytest.raises(OSError, match="onnect"):
        await ask(url, "select 1")


async def test_it_is_postgres_18_with_vectors_that_syncs_what_it_promises(served: Path) -> None:
    url = embedded_url(served) or ""

    names = ("fsync", "data_checksums", "timezone", "server_encoding", "jit", "listen_addresses")
    settings = {name: await ask(url, f"show {name}") for name in names}
    version = await ask(url, "show server_version_num")
    has_vectors = await ask(url, "select count(*) = 1 from pg_available_extensions where name = 'vector'")

    assert str(version).startswith("18")
    assert has_vectors
    assert await ask(url, "select lower('ÄÖ')") == "äö"
    assert settings == {
        "fsync": "on",
        "data_checksums": "on",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "jit": "off",
        "listen_addresses": "127.0.0.1",
    }


@pytest.mark.parametrize("login", ["postgres", "postgres:", "postgres:wrong"])
async def test_nobody_enters_without_the_password(served: Path, login: str) -> None:
    port = urlsplit(embedded_url(served) or "").port

    with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
        await ask(f"postgresql://{login}@127.0.0.1:{port}/postgres?sslmode=disable", "select 1")


def test_the_password_is_long_and_others_cannot_read_it(served: Path) -> None:
    password = urlsplit(embedded_url(served) or "").password or ""

    assert len(password) >= 32
    assert stat.S_IMODE((served / "postgres").stat().st_mode) == 0o700
    assert [each for each in served.iterdir() if each.is_file() and each.stat().st_mode & 0o077] == []


async def test_the_postmaster_knows_none_of_our_secrets_and_hears_no_ctrl_c(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAILWAY_BACKEND_SECRET", "canary")

    async with running_postgres(data_dir):
        process = psutil.Process(postmaster_pid(data_dir))

        assert "RAILWAY_BACKEND_SECRET" not in process.environ()
        assert process.uids().real != 0
        assert os.getsid(process.pid) != os.getsid(0)


async def test_a_second_server_on_the_same_folder_is_told_so(served: Path) -> None:
    with pytest.raises(NotConfigured, match=rf"another server \(process {os.getpid()}\) uses"):
        await EmbeddedPostgres(served).start()

    assert await ask(embedded_url(served) or "", "select 1") == 1


async def test_a_taken_port_is_left_to_its_owner(data_dir: Path) -> None:
    async with running_postgres(data_dir) as postgres:
        port = urlsplit(postgres.url).port

    with socket.create_server(("127.0.0.1", port or 0)):
        async with running_postgres(data_dir) as postgres:
            assert urlsplit(postgres.url).port != port
            assert embedded_url(data_dir) == postgres.url
            assert await ask(postgres.url, "select 1") == 1


async def test_a_failed_start_names_its_log_and_frees_the_folder(data_dir: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"postgres\.log says why"):
        async with running_postgres(data_dir, shared_buffers="lots"):
            pass

    assert "shared_buffers" in (data_dir / "postgres.log").read_text()
    async with running_postgres(data_dir) as postgres:
        assert await ask(postgres.url, "select 1") == 1


async def test_a_long_log_is_put_aside_at_the_next_start(data_dir: Path) -> None:
    (data_dir / "postgres.log").write_text("x" * 1_100_000)

    async with running_postgres(data_dir):
        pass

    assert (data_dir / "postgres.log").stat().st_size < 100_000
    assert (data_dir / "postgres.log.1").stat().st_size >= 1_100_000


async def test_a_cluster_of_another_version_or_password_is_refused(data_dir: Path) -> None:
    url, version = data_dir / "postgres.url", data_dir / "postgres" / "PG_VERSION"

    good = url.read_text()
    url.write_text(good.replace("postgres:", "postgres:x"))
    with pytest.raises(NotConfigured, match="not that of the database beside it"):
        async with running_postgres(data_dir):
            pass
    url.write_text(good)
    version.write_text("15\n")
    with pytest.raises(NotConfigured, match="is of Postgres 15, this release brings 18"):
        async with running_postgres(data_dir):
            pass


@as_root
async def test_a_folder_closed_to_others_keeps_its_cluster_elsewhere_and_remembers_it(unmade: Path) -> None:
    closed = unmade.parent / "closed"
    closed.mkdir(mode=0o700)
    root = unmade.parent / "root"

    for _ in range(2):
        postgres = EmbeddedPostgres(closed / "data", reachable_root=root)
        await postgres.start()
        assert await ask(postgres.url, "select 1") == 1
        await postgres.stop()
    remembered = Path((closed / "data" / "postgres.place").read_text().strip())
    owner = remembered.stat().st_uid  # noqa: ASYNC240 - one look at a local file

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert remembered.is_relative_to(root)
    assert owner != 0
    shutil.rmtree(remembered)
    with pytest.raises(NotConfigured, match="is gone; delete"):
        await EmbeddedPostgres(closed / "data", reachable_root=root).start()


@as_root
async def test_without_any_place_in_reach_the_start_says_what_to_change(unmade: Path) -> None:
    closed = unmade.parent / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(NotConfigured, match="set DATA_DIR to a folder below open folders"):
        await EmbeddedPostgres(closed / "data", reachable_root=closed / "root").start()


async def test_a_data_folder_below_a_file_is_said() -> None:
    with pytest.raises(NotConfigured, match="cannot hold the embedded database"):
        await EmbeddedPostgres(Path(__file__) / "data").start()


async def test_the_url_of_a_folder_without_a_server_is_nothing(unmade: Path) -> None:
    assert embedded_url(unmade) is None
    with pytest.raises(DatabaseUnavailable):
        _ = EmbeddedPostgres(unmade).url
