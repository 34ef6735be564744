"""Servers that begin loaded: forked from one process that has imported everything, see `forker`."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

import orjson

__all__ = ["Forked", "Process", "fork"]

ROOT = Path(__file__).parents[2]
FORKER = (sys.executable, "-m", "tests.support.forker")


class Forked:
    """As `asyncio.subprocess.Process`, of a process that another one has forked."""

    def __init__(self, pid: int, told: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._until_ended(told))

    async def wait(self) -> int:
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            # It may have ended by itself, and not be told of yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _until_ended(self, told: asyncio.StreamReader) -> int:
        self.returncode = await _told(told, "exit")
        return self.returncode


Process = asyncio.subprocess.Process | Forked


async def fork(
    program: Sequence[str], *, folder: Path, environment: Mapping[str, str], out: IO[bytes] | None
) -> Forked:
    """Begin `program`, as `python` would with these arguments.

    Args:
        out: where it writes to; its output and its errors to where this process does if None.
    """
    ours, theirs = socket.socketpair()
    order = {"program": program, "folder": str(folder), "environment": dict(environment)}
    files = (1, 2) if out is None else (out.fileno(), out.fileno())
    with theirs:
        socket.send_fds(_forker(), [orjson.dumps(order)], [*files, theirs.fileno()])
    try:
        told, writer = await asyncio.open_connection(sock=ours)
        forked = Forked(await _told(told, "pid"), told)
    except BaseException:
        # Nobody would own it; the process that forks ends it.
        ours.shutdown(socket.SHUT_RDWR)
        raise
    forked._ending.add_done_callback(lambda _: writer.close())
    return forked


async def _told(told: asyncio.StreamReader, word: str) -> int:
    line = (await told.readline()).decode().split()
    assert line[:1] == [word], f"the process that forks has ended: {line}"
    return int(line[1])


@cache
def _forker() -> socket.socket:
    """Where orders go: one process for all that this one needs, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [*FORKER, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
