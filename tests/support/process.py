"""Real server processes: `python railway_server.py …` in an environment of its own, to be killed at will."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import httpx2
import orjson
import psutil

from tests.support.forked import Process, fork

__all__ = [
    "DEMO_USER",
    "FORECASTER",
    "NO_TLS",
    "ROOT",
    "ServerProcess",
    "free_port",
    "run_command",
    "start_command",
    "until",
]

ROOT = Path(__file__).parents[2]
DEMO_USER = UUID("00000000-0000-4000-a000-0000000000d0")
FORECASTER = "00000000-0000-4000-a000-000000000002"
READY_WITHIN_S = 60.0
READY_PATH = "/health/readiness"
PROGRAM = ("railway_server.py",)
# It is plain HTTP, and to load the certificates of this machine takes longer than most requests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Only what the process needs: a developer's own settings must not reach a test."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **settings}


async def run_command(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a verb to its end: exit code, stdout, stderr."""
    process = await start_command(*arguments, **settings)
    out, err = await asyncio.wait_for(process.communicate(), 100)
    return process.returncode or 0, out.decode(), err.decode()


async def start_command(*arguments: str, **settings: str) -> asyncio.subprocess.Process:
    """Begin a verb; its output is for `communicate`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "railway_server.py",
        *arguments,
        cwd=ROOT,
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def until(what: Any, *, within_s: float) -> None:
    """Wait until the coroutine function `what` answers true.

    Any: a function of the test's own.
    """
    async with asyncio.timeout(within_s):
        while not await what():
            await asyncio.sleep(0.05)


def _credentials(settings: Mapping[str, str]) -> dict[str, str]:
    """The demo's user signed in to a server of these settings; nobody where a project issues the tokens."""
    # Not everybody who starts a process needs what this loads.
    from tests.support.told import development_token

    token = development_token(settings, DEMO_USER)
    return {"Authorization": f"Bearer {token}"} if token is not None else {}


async def _begin(
    program: Sequence[str], *, folder: Path, settings: Mapping[str, str], out: IO[bytes] | None
) -> Process:
    """Forked from one that has loaded this code, unless it is of another folder or loaded otherwise."""
    if folder == ROOT and "LD_PRELOAD" not in settings:
        return await fork(program, folder=folder, environment=environment(settings), out=out)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        cwd=folder,
        env=environment(settings),
        stdout=out,
        stderr=None if out is None else asyncio.subprocess.STDOUT,
    )


class ServerProcess:
    """One `serve`, and a client of its own."""

    def __init__(self, process: Process, client: httpx2.AsyncClient) -> None:
        self.process = process
        self.client = client

    @classmethod
    @asynccontextmanager
    async def running(cls, **settings: str) -> AsyncIterator[ServerProcess]:
        """A ready server; killed at the end if it still lives. Without a `PORT` it gets one of its own."""
        async with cls.of(settings) as server:
            yield server

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        settings: Mapping[str, str],
        *,
        program: Sequence[str] = PROGRAM,
        folder: Path = ROOT,
        log_file: Path | None = None,
        ready_path: str = READY_PATH,
    ) -> AsyncIterator[ServerProcess]:
        """
        Args:
            folder: where `program` is, and what it needs beside it.
            log_file: where all that it writes goes; to where the test writes if None.
            ready_path: what answers 200 once the block may begin.
        """
        port = int(settings.get("PORT") or free_port())
        configured = {"PORT": str(port), "HOST": "127.0.0.1", "LOG_LEVEL": "warning", **settings}
        with nullcontext() if log_file is None else log_file.open("wb") as written:
            process = await _begin(program, folder=folder, settings=configured, out=written)
        client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, verify=NO_TLS
        )
        server = cls(process, client)
        try:
            await until(lambda: server.is_ready(ready_path), within_s=READY_WITHIN_S)
            client.headers.update(_credentials(settings))
            yield server
        finally:
            await client.aclose()
            await server.kill()

    async def is_ready(self, path: str = READY_PATH) -> bool:
        if self.process.returncode is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}")
        try:
            return (await self.client.get(path)).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def kill(self) -> None:
        """SIGKILL, and wait until it and everything it has started is gone."""
        if self.process.returncode is not None:
            return
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        await self.process.wait()
        _, left = await asyncio.to_thread(psutil.wait_procs, started, timeout=15)
        assert left == []

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Frozen, so that what is submitted to another server meanwhile is executed there.

        A run that finds others waiting, or the slots of its server in the hands of a claim, waits for
        whoever is first.
        """
        self.stop()
        try:
            yield
        finally:
            self.resume()

    async def terminate(self, *, within_s: float) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), within_s)

    # Any: a body and an answer of the wire.
    async def submit(self, body: Mapping[str, Any]) -> str:
        """Submit asynchronously; the run's id."""
        answer = await self.client.post(
            "/api/agent/execute", json=dict(body), headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == httpx2.codes.ACCEPTED, answer.text
        run_id: str = answer.json()["runId"]
        return run_id

    async def messages(self, run_id: str, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The messages of a run over SSE, each with its `seq`, until the stream ends or breaks."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        try:
            async with self.client.stream("GET", f"/api/runs/{run_id}/events", headers=headers) as answer:
                assert answer.status_code == httpx2.codes.OK, await answer.aread()
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield orjson.loads(line[5:])
        except httpx2.TransportError:
            return

    # Any: a document of the wire.
    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.client.get(path)
        assert answer.status_code == httpx2.codes.OK, answer.text
        document: dict[str, Any] = answer.json()
        return document
