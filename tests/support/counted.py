"""A server process that can be asked what it holds: tasks, descriptors, readers, memory, and its log."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.process import ServerProcess

__all__ = ["Counted", "Held", "counted_server"]

PROGRAM = ("-m", "tests.support.counted_server")
ALARMS = ("error", "critical", "traceback", "exception", "fatal")


@dataclass(frozen=True)
class Held:
    tasks: dict[str, int]  # by the name of what they do
    descriptors: int
    readers: float
    memory_mb: float


class Counted:
    def __init__(self, server: ServerProcess, *, count_file: Path, log_file: Path) -> None:
        self.server = server
        self.url = str(server.client.base_url).rstrip("/")
        self.token = server.client.headers["authorization"].removeprefix("Bearer ")
        self._process = psutil.Process(server.process.pid)
        self._count_file = count_file
        self._log_file = log_file

    async def held(self) -> Held:
        return Held(
            tasks=await self._tasks(),
            # The test's own client holds one of them, or none.
            descriptors=self._process.num_fds(),
            readers=await self.metric("heavy_agent_readers"),
            memory_mb=await self.memory_mb(),
        )

    async def settled(self) -> Held:
        """What it holds once nothing has changed for a second."""
        last = await self.held()
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(1)
                now = await self.held()
                if (now.tasks, now.descriptors) == (last.tasks, last.descriptors):
                    return now
                last = now

    async def is_as(self, before: Held) -> bool:
        now = await self.held()
        return (now.tasks, now.readers) == (before.tasks, before.readers) and (
            now.descriptors <= before.descriptors
        )

    async def memory_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    async def metric(self, name: str) -> float:
        """The sum of its samples."""
        lines = (await self.server.client.get("/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    async def is_ready(self) -> bool:
        alive = await self.server.client.get("/health/liveness")
        return alive.is_success and await self.server.is_ready()

    def alarms(self) -> list[str]:
        """Lines of its log that would wake somebody up."""
        lines = self._log_file.read_text(errors="replace").splitlines()
        return [line for line in lines if any(word in line.lower() for word in ALARMS)]

    async def _tasks(self) -> dict[str, int]:
        self._count_file.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(10):
            while not self._count_file.exists():
                await asyncio.sleep(0.02)
        pairs = (line.split(" ", 1) for line in self._count_file.read_text().splitlines())
        return {name: int(count) for count, name in pairs}


@asynccontextmanager
async def counted_server(demo_url: str, folder: Path) -> AsyncIterator[Counted]:
    count_file, log_file = folder / "tasks", folder / "log"
    settings = {
        "DATABASE_URL": demo_url,
        "DATA_DIR": str(folder),
        "COUNT_FILE": str(count_file),
        "SOCKETS_PER_USER": "1000",
        "REQUESTS_PER_MINUTE": "100000",
    }
    async with ServerProcess.of(settings, program=PROGRAM, log_file=log_file) as server:
        yield Counted(server, count_file=count_file, log_file=log_file)
