"""A database that is further away: a TCP relay in a process of its own, which delays whatever passes.

    python -m benchmarks.far <port> <milliseconds of a round trip>

Prints the port it listens on. Two threads a connection rather than a loop, whose timers tick in milliseconds.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import urlsplit

import asyncpg

__all__ = ["at_distance", "round_trips_ms"]

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
PIECE_BYTES = 65_536
ROUND_TRIPS = 21
READY_WITHIN_S = 20.0

# What to pass on, and when; nothing at all once the sender has closed.
Due = tuple[float, bytes]


@asynccontextmanager
async def at_distance(url: str, *, round_trip_ms: float) -> AsyncIterator[str]:
    """`url` through a relay."""
    parts = urlsplit(url)
    relay = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.far", str(parts.port), str(round_trip_ms)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert relay.stdout is not None  # noqa: S101 - started with a pipe
    try:
        port = int(await asyncio.wait_for(relay.stdout.readline(), READY_WITHIN_S))
        credentials = parts.netloc.rpartition("@")[0]
        yield parts._replace(netloc=f"{credentials}@{HOST}:{port}").geturl()
    finally:
        relay.kill()
        await relay.wait()


async def round_trips_ms(url: str) -> float:
    """How far away `url` is: the median of some round trips that ask for nothing."""
    connection = await asyncpg.connect(url)
    try:
        took_s = []
        for _ in range(ROUND_TRIPS):
            began_s = time.perf_counter()
            await connection.execute("select 1")
            took_s.append(time.perf_counter() - began_s)
    finally:
        await connection.close()
    return statistics.median(took_s) * 1000


def _serve(target_port: int, *, delay_s: float) -> None:
    with socket.create_server((HOST, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection((HOST, target_port))
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting: SimpleQueue[Due] = SimpleQueue()
                _spawn(_take, source, waiting, delay_s)
                _spawn(_give, target, waiting)


# object: each of the two has arguments of its own.
def _spawn(work: object, *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def _take(source: socket.socket, waiting: SimpleQueue[Due], delay_s: float) -> None:
    piece = b"-"
    while piece:
        piece = b""
        with suppress(OSError):
            piece = source.recv(PIECE_BYTES)
        waiting.put((time.monotonic() + delay_s, piece))


def _give(target: socket.socket, waiting: SimpleQueue[Due]) -> None:
    with suppress(OSError):
        while True:
            due_s, piece = waiting.get()
            time.sleep(max(due_s - time.monotonic(), 0))
            if not piece:
                target.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(piece)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), delay_s=float(sys.argv[2]) / 2000)
