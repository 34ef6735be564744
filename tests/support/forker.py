"""A process that has loaded the server, and forks one for each order: `python -m tests.support.forker <fd>`.

To load it takes a second of CPU, and the tests start more than a hundred servers. What comes of a fork is a
process as any other, that is killed, stopped and told to go as any other: nothing has run before it, no loop,
no thread and no connection. It begins where `python railway_server.py` or `python -m …` would begin.

An order is one message on the socket: JSON, and with it three open files: where the new process writes its
output and its errors, and one end of a socket of its own. On that is told in lines which process it is, and
at last how it has ended. When the other end of the socket of orders is closed, everything here ends.
"""

from __future__ import annotations

import gc
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import orjson

from commands.quick import without_colours

__all__ = ["ORDER_BYTES"]

ORDER_BYTES: Final = 256 * 1024
FILES: Final = 3
LOADED: Final = ("railway_server", "commands.serve")

# Any: an order, as JSON.
Order = dict[str, Any]


def _load() -> None:
    """What a server imports until it serves."""
    with without_colours():
        for name in LOADED:
            import_module(name)
    gc.collect()
    gc.freeze()


class _Forker:
    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._told: dict[int, socket.socket] = {}  # by process
        self._unowned: set[int] = set()
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(wake)

    def program(self) -> Callable[[], None] | None:
        """In a process that was forked: what it is to run. In this one None, when all is over."""
        while True:
            owners = {owner.fileno(): pid for pid, owner in self._told.items() if pid not in self._unowned}
            ready, _, _ = select.select([self._orders.fileno(), self._woken, *owners], [], [])
            self._end(pid for owner, pid in owners.items() if owner in ready)
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._bury()
            if self._orders.fileno() in ready:
                said, files, _, _ = socket.recv_fds(self._orders, ORDER_BYTES, FILES)
                if not said:
                    self._end(self._told)
                    return None
                if (program := self._fork(orjson.loads(said), *files)) is not None:
                    return program

    def _fork(self, order: Order, out: int, err: int, told: int) -> Callable[[], None] | None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            return lambda: _become(order)
        os.close(out)
        os.close(err)
        self._told[pid] = socket.socket(fileno=told)
        self._tell(pid, f"pid {pid}")
        return None

    def _bury(self) -> None:
        while self._told:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._tell(pid, f"exit {os.waitstatus_to_exitcode(status)}")
            self._told.pop(pid).close()
            self._unowned.discard(pid)

    def _tell(self, pid: int, line: str) -> None:
        try:
            self._told[pid].sendall(line.encode() + b"\n")
        except OSError:
            """Nobody waits for this one any more."""

    def _end(self, pids: Iterable[int]) -> None:
        """Nobody is there any more who would."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            self._unowned.add(pid)


def _become(order: Order) -> None:
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    first, *rest = order["program"]
    if first == "-m":
        module, *sys.argv[1:] = rest
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _load()
    if (begin := _Forker(socket.socket(fileno=int(sys.argv[1]))).program()) is not None:
        begin()
