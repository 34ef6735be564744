"""Become an unprivileged user, promise to die with the parent, and turn into the given program.

    python -I -S launcher.py <uid, or -1 to stay> <signal> <parent's pid> <program> <arguments …>

A script of its own because Postgres refuses to run as root, because the promise is lost when the user
changes, and because nothing else may run between `fork` and `exec` of a threaded process. It imports
nothing of ours: it runs where our code may be out of reach.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["main"]

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    uid, signal, parent_pid = (int(each) for each in arguments[:3])
    command = arguments[3:]
    if uid >= 0:
        _become(uid)
    if sys.platform == "linux":
        _die_with(parent_pid, signal=signal)
    os.umask(0o077)
    os.chdir("/")
    os.execv(command[0], command)  # nosec B606 # noqa: S606 - the point of this script; the command is our own


def _become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def _die_with(parent_pid: int, *, signal: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent_pid:
        # It died before the promise was made.
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
