from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import psutil
import pytest

from foundation.db import EmbeddedPostgres, PoolDatabase
from foundation.db.embedded.process import spawn, until
from tests.support.database import ask, postmaster_pid, running_postgres

SERVER = """
import asyncio, sys
from pathlib import Path
from foundation.db import EmbeddedPostgres

async def serve():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    await postgres.start()
    print(postgres.url, flush=True)
    await asyncio.sleep(60)

asyncio.run(serve())
"""


def serve(data_dir: Path) -> Popen[str]:
    return Popen([sys.executable, "-c", SERVER, str(data_dir)], stdout=PIPE, text=True)


async def kill_a_server(data_dir: Path) -> psutil.Process:
    """Start a server of its own process, commit a row in `t`, kill it; returns its postmaster."""
    with serve(data_dir) as server:
        assert server.stdout is not None
        url = ""
        while not url.startswith("postgresql://"):
            url = (await asyncio.to_thread(server.stdout.readline)).strip()
        await ask(url, "create table t as select 42 as x")
        postmaster = psutil.Process(postmaster_pid(data_dir))
        server.kill()
    return postmaster


def is_gone(process: psutil.Process) -> bool:
    """Ended, though perhaps nobody has collected it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_a_killed_server_takes_its_postgres_with_it(data_dir: Path) -> None:
    postmaster = await kill_a_server(data_dir)

    assert await until(lambda: is_gone(postmaster), within_s=30)


async def test_the_successor_of_a_killed_server_has_all_that_was_committed(data_dir: Path) -> None:
    postmaster = await kill_a_server(data_dir)

    async with running_postgres(data_dir) as successor:
        assert is_gone(postmaster)
        assert await ask(successor.url, "select x from t") == 42


async def test_a_killed_postmaster_is_recovered_from(data_dir: Path) -> None:
    async with running_postgres(data_dir) as postgres:
        await ask(postgres.url, "create table t as select 7 as x")
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)

    async with running_postgres(data_dir) as postgres:
        assert await ask(postgres.url, "select x from t") == 7


async def test_a_pool_waits_for_a_database_that_is_coming_up_and_through_its_restart(data_dir: Path) -> None:
    async with running_postgres(data_dir) as postgres:
        url = postgres.url
        await ask(url, "create function switchyard_one() returns int language sql as 'select 1'")
    postgres = EmbeddedPostgres(data_dir)
    pool = PoolDatabase(url, size=2)

    await asyncio.gather(pool.start(), postgres.start())
    before = await pool.call("switchyard_one")
    await postgres.stop()
    during, _ = await asyncio.gather(pool.call("switchyard_one"), postgres.start())
    await pool.stop()
    await postgres.stop()

    assert (before, during) == (1, 1)


async def test_a_pid_that_now_belongs_to_another_program_does_not_stand_in_the_way(data_dir: Path) -> None:
    async with running_postgres(data_dir):
        lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    uid = (data_dir / "postgres").stat().st_uid
    other = spawn(
        ["/bin/sleep", "60"],
        uid=uid if os.geteuid() == 0 else None,
        dies_by=signal.SIGKILL,
        log=data_dir / "sleep.log",
    )
    assert await until(lambda: psutil.Process(other.pid).name() == "sleep", within_s=30)
    stale = data_dir / "postgres" / "postmaster.pid"
    stale.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
    os.chown(stale, uid, uid)

    async with running_postgres(data_dir) as postgres:
        answer = await ask(postgres.url, "select 1")
    still_there = other.poll() is None
    other.kill()
    other.wait()

    assert answer == 1
    assert still_there


async def test_a_start_cut_short_is_begun_again(unmade: Path) -> None:
    (unmade / "postgres.unfinished" / "data").mkdir(parents=True)
    (unmade / "postgres.unfinished" / "data" / "PG_VERSION").write_text("18\n")

    async with running_postgres(unmade) as postgres:
        assert await ask(postgres.url, "select 1") == 1

    assert not (unmade / "postgres.unfinished").exists()
