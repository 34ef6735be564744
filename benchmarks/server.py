"""A server that is measured from outside: its process, how long it takes to be ready, what it holds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.process import environment, free_port

__all__ = ["SWITCHYARD", "Served", "Server", "serving"]

ROOT = Path(__file__).parents[1]
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
ASK_EVERY_S = 0.005
READY = "GET {} HTTP/1.1\r\nHost: benchmark\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Server:
    """What Python is told to run; it listens on `PORT`. `settings` are all it gets of an environment.

    It is ready once `ready_path` is answered with 200.
    """

    name: str
    arguments: Sequence[str]
    settings: Mapping[str, str]
    python: Path = Path(sys.executable)
    ready_path: str = "/health/ready"


SWITCHYARD = ("railway_server.py",)


@dataclass(frozen=True, slots=True)
class Served:
    """`ready_s` seconds from its start to the first 200, of which it used the CPU for `cpu_s`."""

    process: psutil.Process
    port: int
    ready_s: float
    cpu_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_now_s(self) -> float:
        """CPU seconds so far, of this process only."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Served]:
    """The server, ready; SIGTERM at the end."""
    port = free_port()
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        server.python,
        *server.arguments,
        cwd=ROOT,
        # Nothing of ours: neither our settings nor a wish to write no bytecode, which an image brings along.
        env=environment({"PORT": str(port), "HOST": "127.0.0.1", "PYTHONPATH": str(ROOT), **server.settings}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await _ready(process, port, server)
        ready_s = time.perf_counter() - began_s
        seen = psutil.Process(process.pid)
        yield Served(seen, port, ready_s, sum(seen.cpu_times()[:2]))
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, port: int, server: Server) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while not await _is_ready(port, server.ready_path):
            if process.returncode is not None:
                raise RuntimeError(f"{server.name} ended early; what it says is above")
            await asyncio.sleep(ASK_EVERY_S)


async def _is_ready(port: int, path: str) -> bool:
    """Asked by hand: a client library would load the machine that is measured."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    with suppress(OSError):
        writer.write(READY.format(path).encode())
        answer = await reader.read()
        writer.close()
        return answer.startswith(b"HTTP/1.1 200")
    return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
