"""One subject from the outside: its process, the orders it is given, what it answers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cost", "Running", "Subject", "running"]

ROOT = Path(__file__).parents[1]
READY_WITHIN_S = 60.0
BATCH_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Subject:
    """`python` runs `module`, which may be in an environment of its own."""

    name: str
    module: str
    needs_database: bool = False
    python: Path = Path(sys.executable)

    @property
    def is_installed(self) -> bool:
        return self.python.exists()


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds for one run: of the measured process's CPU, and of the clock at one run after another."""

    cpu_ms: float
    wall_ms: float


class Running:
    def __init__(self, name: str, process: asyncio.subprocess.Process, versions: dict[str, str]) -> None:
        self.name = name
        self.versions = versions
        self._process = process

    async def batch(self, *, runs: int, concurrency: int) -> Cost:
        assert self._process.stdin is not None  # noqa: S101 - started with a pipe
        order = json.dumps({"runs": runs, "concurrency": concurrency})
        self._process.stdin.write(order.encode() + b"\n")
        told = await _told(self._process, "cpu_s", of=self.name, within_s=BATCH_WITHIN_S)
        return Cost(told["cpu_s"] * 1000 / runs, told["wall_s"] * 1000 / runs)


@asynccontextmanager
async def running(subject: Subject, *arguments: str) -> AsyncIterator[Running]:
    """The process, ready and not yet warm; it ends with its input."""
    process = await asyncio.create_subprocess_exec(
        str(subject.python),
        *("-m", subject.module),
        *arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - started with a pipe
    try:
        ready = await _told(process, "versions", of=subject.name, within_s=READY_WITHIN_S)
        yield Running(subject.name, process, ready["versions"])
        process.stdin.close()
        await asyncio.wait_for(process.wait(), READY_WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# Any: the values are numbers or, in the first line, names and versions.
async def _told(
    process: asyncio.subprocess.Process, name: str, *, of: str, within_s: float
) -> dict[str, Any]:
    """The next line with `name`; what a subject logs while it starts comes the same way."""
    assert process.stdout is not None  # noqa: S101 - started with a pipe
    told: dict[str, Any] = {}
    async with asyncio.timeout(within_s):
        while name not in told:
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError(f"{of} ended early; what it says is above")
            told = json.loads(line)
    return told
