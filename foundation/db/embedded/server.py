"""The embedded Postgres as a service: found or made, started, known by its URL, stopped.

Nobody gets in without the password, which is random and, as part of the URL, in a file only the owner may
read. Writes are synced: a run that was accepted here survives a power cut as on any other Postgres.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from foundation.db.embedded import cluster as clusters
from foundation.db.embedded.binaries import installed, within_reach
from foundation.db.embedded.lock import FolderLock
from foundation.db.embedded.postmaster import Outcome, Postmaster, clear_away
from foundation.db.embedded.unprivileged import REACHABLE_ROOT, make_passable, server_uid
from foundation.errors import DatabaseUnavailable, NotConfigured

__all__ = ["EmbeddedPostgres", "embedded_url"]

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
START_WITHIN_S = 90.0
RETRY_PAUSE_S = 0.1

SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "jit": "off",
    "io_method": "sync",  # no idle I/O processes
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "log",  # a refusal is an answer, and its reader has it
}

_URL_FILE = "postgres.url"


def embedded_url(data_dir: Path) -> str | None:
    """The URL of the server of `data_dir`, for a second process; None when there never was one."""
    file = data_dir / _URL_FILE
    return file.read_text().strip() if file.exists() else None


class EmbeddedPostgres:
    """A `Service`. May be started again after it stopped; the URL stays while its port is free.

    It lives as long as the thread that called `start`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        extra_settings: Mapping[str, str] | None = None,
        reachable_root: Path = REACHABLE_ROOT,
    ) -> None:
        """
        Args:
            extra_settings: server settings that go over `SETTINGS`.
            reachable_root: where things go that the user who runs Postgres cannot reach in `data_dir`.
        """
        self._data_dir = data_dir.resolve()
        self._settings = {**SETTINGS, **(extra_settings or {})}
        self._reachable_root = reachable_root
        self._log_file = self._data_dir / "postgres.log"
        self._lock = FolderLock(self._data_dir / "postgres.lock")
        self._postmaster: Postmaster | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """`postgresql://…`, with the password."""
        if self._url is None:
            raise DatabaseUnavailable("the embedded database is not running")
        return self._url

    async def start(self) -> None:
        """Be ready to be connected to.

        Raises:
            NotConfigured: it cannot run here; the text says what to change.
            DatabaseUnavailable: Postgres failed; the text names its log.
        """
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await self._start()
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable(f"Postgres did not start within {START_WITHIN_S:g} s") from error
            if isinstance(error, OSError):
                raise NotConfigured(f"{self._data_dir} cannot hold the embedded database: {error}") from error
            raise

    async def drain(self) -> None:
        """Nothing to hand over: it is the last to go."""

    async def stop(self) -> None:
        postmaster, self._postmaster, self._url = self._postmaster, None, None
        try:
            if postmaster is not None:
                await postmaster.stop()
        finally:
            self._lock.free()

    async def _start(self) -> None:
        make_passable(self._data_dir)
        self._lock.take()
        uid = server_uid()
        place = clusters.locate(self._data_dir, uid=uid, root=self._reachable_root)
        binaries = await asyncio.to_thread(within_reach, installed(), uid=uid, root=self._reachable_root)
        known = embedded_url(self._data_dir)
        password = (urlsplit(known).password if known else None) or secrets.token_hex(24)
        if not clusters.exists(place):
            _write(self._data_dir, _url(password, port=0))
            await clusters.create(place, binaries=binaries, uid=uid, password=password, log=self._log_file)
            clusters.remember(place, data_dir=self._data_dir)
        clusters.check_version(place)
        await clear_away(place)
        self._postmaster = Postmaster(
            place,
            program=binaries.program("postgres"),
            uid=clusters.owner(place),
            log=self._log_file,
            settings=self._settings,
        )
        port = await self._listen(self._postmaster, _port_of(known))
        self._url = _url(password, port=port)
        await _greet(self._url)
        _write(self._data_dir, self._url)
        log.info("embedded_database_ready", port=port, folder=str(place))

    async def _listen(self, postmaster: Postmaster, port: int) -> int:
        """Start on `port` or, when it is taken, on a free one; returns which."""
        while True:
            port = _free_port(port)
            match await postmaster.start(port):
                case Outcome.READY:
                    return port
                case Outcome.PORT_TAKEN:
                    port = 0
                case Outcome.STILL_HELD:
                    await asyncio.sleep(RETRY_PAUSE_S)
                case Outcome.FAILED:
                    raise DatabaseUnavailable(f"Postgres did not start; the end of {self._log_file} says why")


async def _greet(url: str) -> None:
    """Connect once: what is ready must also let us in."""
    # Here, so that importing this package stays cheap.
    from asyncpg import InvalidPasswordError, connect

    try:
        connection = await connect(url, timeout=10)
    except InvalidPasswordError as error:
        raise NotConfigured(f"the password in {_URL_FILE} is not that of the database beside it") from error
    except (OSError, TimeoutError) as error:
        raise DatabaseUnavailable("the embedded database did not answer") from error
    await connection.close()


def _url(password: str, *, port: int) -> str:
    # TLS on loopback protects from nobody.
    return f"postgresql://{clusters.SUPERUSER}:{password}@{HOST}:{port}/postgres?sslmode=disable"


def _port_of(url: str | None) -> int:
    return (urlsplit(url).port if url else None) or 0


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DatabaseUnavailable("no port is free on loopback")


def _write(data_dir: Path, url: str) -> None:
    """Replace the URL's file in one go, readable by its owner alone."""
    unfinished = data_dir / f"{_URL_FILE}.unfinished"
    unfinished.touch(mode=0o600)
    unfinished.write_text(f"{url}\n")
    unfinished.replace(data_dir / _URL_FILE)
