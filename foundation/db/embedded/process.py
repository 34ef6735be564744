"""A program of Postgres as our child: under its own user, in its own session, gone when we are."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import Signals
from subprocess import DEVNULL, Popen

__all__ = ["ended", "spawn", "until"]

LAUNCHER = Path(__file__).with_name("launcher.py")
POLL_S = 0.01

# Nothing of our environment: it holds secrets, and the program's user could read them from /proc.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


def spawn(command: Sequence[str], *, uid: int | None, dies_by: Signals, log: Path) -> Popen[bytes]:
    """Start `command`; it gets the signal `dies_by` when the thread that called this ends.

    A session of its own, so that Ctrl-C in a terminal reaches us alone and we stop it in our order.

    Args:
        uid: as whom to run; None for as ourselves.
        log: where both its outputs are appended.
    """
    identity = [str(-1 if uid is None else uid), str(int(dies_by)), str(os.getpid())]
    # Opened here: the program's user may not be able to.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return Popen(  # nosec B603 # noqa: S603 - our own launcher with our own arguments
            [sys.executable, "-I", "-S", str(LAUNCHER), *identity, *command],
            stdin=DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


async def ended(process: Popen[bytes], *, within_s: float) -> int | None:
    """Its exit code, or None when it still runs after `within_s` seconds."""
    await until(lambda: process.poll() is not None, within_s=within_s)
    return process.returncode


async def until(claim: Callable[[], bool], *, within_s: float) -> bool:
    """Ask again and again, 10 ms apart; False when `claim` does not come true within `within_s` seconds."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not claim():
        if asyncio.get_running_loop().time() >= deadline_s:
            return False
        await asyncio.sleep(POLL_S)
    return True
