"""Containers of an image, as far as a root can be one: started, asked, given work, told to go."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import httpx2
import psutil

from tests.support.image.build import Image
from tests.support.image.root import Mounts
from tests.support.process import DEMO_USER, free_port, until
from tests.support.series import forecast_body
from tests.support.tokens import TokenForge

__all__ = ["JWT_SECRET", "Trial", "secrets_of_production"]

JWT_SECRET = "the-secret-of-a-project-that-is-not-there-0123"
ISSUER = "https://example.supabase.co/auth/v1"
READY_WITHIN_S = 60.0


def secrets_of_production() -> dict[str, str]:
    """What an image refuses to start without, beside a database."""
    return {
        "SUPABASE_JWT_SECRET": JWT_SECRET,
        "JWT_ISSUER": ISSUER,
        "RAILWAY_BACKEND_SECRET": "the-service-secret-of-a-trial-0123456789",
        "METRICS_TOKEN": "the-metrics-token-of-a-trial",
    }


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to run an image; `settings` go over what it sets itself."""

    name: str
    mounts: Mounts
    settings: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    user: str | None = None
    ready_path: str = "/health/readiness"
    forecasts: bool = False

    async def run(self, image: Image, *, say: Callable[[str], None]) -> None:
        started_s = time.monotonic()
        async with self._container(image) as container:
            took_s = time.monotonic() - started_s
            who = f"uid {container.uid()}, {container.memory_mb()} MB"
            say(f"{self.name}: ready after {took_s:.1f} s, {who}")
            await asyncio.to_thread(self._probe, image, container)
            if self.forecasts:
                took_s = await container.forecast()
                say(f"  a forecast took {took_s:.1f} s; {container.memory_mb()} MB then")
            say(f"  SIGTERM: left with 0 after {await container.leave():.1f} s")

    @asynccontextmanager
    async def _container(self, image: Image) -> AsyncIterator[_Container]:
        given = {"LOG_LEVEL": "warning", "PORT": str(free_port())}
        environment = {**image.environment, **given, **self.settings}
        command = image.root.command(
            *(self.command or image.stage.last("CMD").words),
            environment=environment,
            user=self.user or image.user,
            folder=image.folder,
            mounts=self.mounts,
            as_first=True,
        )
        process = await asyncio.to_thread(Popen, command, stdin=DEVNULL)
        container = _Container(process, environment, ready_path=self.ready_path)
        try:
            await until(container.is_ready, within_s=READY_WITHIN_S)
            yield container
        finally:
            container.kill()
            await container.client.aclose()

    def _probe(self, image: Image, container: _Container) -> None:
        """As the engine would, beside the server in the same container."""
        check = image.stage.last("HEALTHCHECK").words
        image.root.run(
            *check,
            environment=container.environment,
            user=image.user,
            folder=image.folder,
            mounts=self.mounts,
        )


class _Container:
    def __init__(self, process: Popen[bytes], environment: Mapping[str, str], *, ready_path: str) -> None:
        self.environment = environment
        self._ready_path = ready_path
        self._process = process
        token = TokenForge(issuer=ISSUER, secret=JWT_SECRET).token(DEMO_USER, algorithm="HS256")
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{environment['PORT']}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )

    async def is_ready(self) -> bool:
        assert self._process.poll() is None, f"it ended with {self._process.returncode}"
        try:
            return (await self.client.get(self._ready_path)).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def forecast(self) -> float:
        """Run one, see that it has an answer; the seconds it took."""
        started_s = time.monotonic()
        answer = await self.client.post("/api/agent/execute", json=forecast_body())
        assert answer.status_code == httpx2.codes.OK, answer.text
        # Any: a document of the wire.
        document: dict[str, Any] = answer.json()
        assert document["status"] == "succeeded", document
        assert document["output"]["method"] == "prophet", document["output"]
        return time.monotonic() - started_s

    async def leave(self) -> float:
        """SIGTERM to process 1; the seconds until it has ended, which must be with 0."""
        started_s = time.monotonic()
        (first,) = psutil.Process(self._process.pid).children()
        first.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, 60)
        assert code == 0, f"it ended with {code}"
        return time.monotonic() - started_s

    def kill(self) -> None:
        """Process 1, and with it all inside; to kill only who waits for it outside would leave it there."""
        with suppress(psutil.NoSuchProcess):
            for first in psutil.Process(self._process.pid).children():
                first.kill()
        self._process.wait()

    def uid(self) -> int:
        (first,) = psutil.Process(self._process.pid).children()
        return first.uids().effective

    def memory_mb(self) -> int:
        """Of all its processes together, what they share counted once."""
        inside = psutil.Process(self._process.pid).children(recursive=True)
        rollups = [f"/proc/{each.pid}/smaps_rollup" for each in inside]
        return sum(_pss_kb(rollup) for rollup in rollups) // 1024


def _pss_kb(rollup: str) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(rollup).read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
