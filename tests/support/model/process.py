"""The scripted model as a process of its own, which outlives the servers that a test kills."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.support.model.log import Asked
from tests.support.model.script import Rule

__all__ = ["ModelProcess"]

ROOT = Path(__file__).parents[3]


class ModelProcess:
    """`url` ends in /v1."""

    def __init__(self, port: int, client: httpx2.AsyncClient) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._client = client

    @classmethod
    @asynccontextmanager
    async def running(cls, *, log_file: Path | None = None) -> AsyncIterator[ModelProcess]:
        log = ("--log", str(log_file)) if log_file is not None else ()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.model",
            *("--port", "0"),
            *log,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            port = int(await asyncio.wait_for(process.stdout.readline(), 20))
            address = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient(base_url=address, trust_env=False, timeout=10) as client:
                yield cls(port, client)
        finally:
            process.kill()
            await process.wait()

    async def play(self, *rules: Rule) -> None:
        """Answer by these rules from now on, and forget the calls so far."""
        (await self._client.post("/script", json=list(rules))).raise_for_status()

    async def calls(self) -> list[Asked]:
        return [Asked(**each) for each in (await self._client.get("/log")).json()]

    async def until(self, holds: Callable[[list[Asked]], bool], *, within_s: float = 30.0) -> list[Asked]:
        """Return the calls once `holds` of them."""
        async with asyncio.timeout(within_s):
            while not holds(calls := await self.calls()):
                await asyncio.sleep(0.02)
        return calls

    async def until_called(self, n: int, *, within_s: float = 30.0) -> list[Asked]:
        return await self.until(lambda calls: len(calls) >= n, within_s=within_s)
