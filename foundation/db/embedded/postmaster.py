"""One run of Postgres: started, waited for, stopped; and what an earlier one left behind.

The postmaster dies with us: the kernel sends it SIGINT, a fast and clean shutdown, when we are gone. A
successor may therefore meet it still shutting down and waits for it. Whoever calls holds the folder's
lock, so a postmaster found in the cluster has no other server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from subprocess import Popen

from foundation.db.embedded.process import ended, spawn, until
from foundation.errors import DatabaseUnavailable

__all__ = ["Outcome", "Postmaster", "clear_away"]

READY_WITHIN_S = 60.0  # a crash recovery reads at most `max_wal_size`

# Fast, then immediate, then by force.
_WAYS_TO_STOP: tuple[tuple[Signals, float], ...] = ((SIGINT, 5.0), (SIGQUIT, 2.0), (SIGKILL, 1.0))

_PID_FILE = "postmaster.pid"
_PID_LINE, _STATUS_LINE = 0, 7
_LOG_LIMIT_BYTES = 1_000_000


class Outcome(Enum):
    """How an attempt to start ended."""

    READY = auto()
    PORT_TAKEN = auto()
    STILL_HELD = auto()  # processes of an earlier run have not let go of its memory yet
    FAILED = auto()


class Postmaster:
    def __init__(
        self, cluster: Path, *, program: Path, uid: int | None, log: Path, settings: Mapping[str, str]
    ) -> None:
        self._cluster = cluster
        self._program = program
        self._uid = uid
        self._log = log
        self._settings = settings
        self._process: Popen[bytes] | None = None

    async def start(self, port: int) -> Outcome:
        """Start and wait until it answers, or has ended, or a minute is over."""
        _shorten(self._log)
        log_from_bytes = self._log.stat().st_size if self._log.exists() else 0
        self._process = spawn(self._command(port), uid=self._uid, dies_by=SIGINT, log=self._log)
        if await self._becomes_ready(self._process):
            return Outcome.READY
        await self.stop()
        return _outcome(self._log.read_bytes()[log_from_bytes:].decode(errors="replace"))

    async def stop(self) -> None:
        """Returns when it has ended; safe to repeat."""
        process, self._process = self._process, None
        if process is None:
            return
        for signal, within_s in _WAYS_TO_STOP:
            process.send_signal(signal)
            if await ended(process, within_s=within_s) is not None:
                return

    def _command(self, port: int) -> list[str]:
        settings = {**self._settings, "port": str(port)}
        return [
            str(self._program),
            "-D",
            str(self._cluster),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]

    async def _becomes_ready(self, process: Popen[bytes]) -> bool:
        def is_decided() -> bool:
            return process.poll() is not None or _is_ready(self._cluster, process.pid)

        return await until(is_decided, within_s=READY_WITHIN_S) and process.poll() is None


async def clear_away(cluster: Path) -> None:
    """See an earlier postmaster out, and remove its pid file when the pid belongs to another program now.

    Raises:
        DatabaseUnavailable: it does not end.
    """
    # Here and below: it takes as long to import as Postgres to start, and is seldom needed.
    from psutil import pid_exists, pids

    lines = _pid_file(cluster)
    if not lines or not lines[_PID_LINE].isdigit():
        return
    pid = int(lines[_PID_LINE])
    if not await _see_out(cluster, pid):
        raise DatabaseUnavailable(f"an earlier Postgres (process {pid}) does not end")
    if pid_exists(pid) and not any(_works_in(cluster, each) for each in pids()):
        # Containers hand out the same small pids again; Postgres would take its namesake for itself.
        (cluster / _PID_FILE).unlink(missing_ok=True)


async def _see_out(cluster: Path, pid: int) -> bool:
    from psutil import NoSuchProcess, Process

    for signal, within_s in _WAYS_TO_STOP:
        if not _works_in(cluster, pid):
            break
        with contextlib.suppress(NoSuchProcess):
            Process(pid).send_signal(signal)
        await until(lambda: not _works_in(cluster, pid), within_s=within_s)
    return not _works_in(cluster, pid)


def _is_ready(cluster: Path, pid: int) -> bool:
    """Postgres's own notice, which costs no connection and no line in its log."""
    lines = _pid_file(cluster)
    return len(lines) > _STATUS_LINE and lines[_PID_LINE] == str(pid) and lines[_STATUS_LINE] == "ready"


def _works_in(cluster: Path, pid: int) -> bool:
    """Whether `pid` is a process of this cluster: all of them work inside its folder."""
    from psutil import Error, Process

    try:
        return Path(Process(pid).cwd()) == cluster.resolve()
    except (Error, OSError):
        return False


def _pid_file(cluster: Path) -> list[str]:
    try:
        return [line.strip() for line in (cluster / _PID_FILE).read_text().splitlines()]
    except OSError:
        return []


def _outcome(log: str) -> Outcome:
    if "could not bind" in log or "could not create any TCP/IP sockets" in log:
        return Outcome.PORT_TAKEN
    if "pre-existing shared memory block" in log:
        return Outcome.STILL_HELD
    return Outcome.FAILED


def _shorten(log: Path) -> None:
    """Keep the log of the last long life under another name; little is written between two starts."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
