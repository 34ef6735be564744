"""A process of ours that takes orders: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from benchmarks.server import ROOT

__all__ = ["Child", "child"]

ANSWERED_WITHIN_S: Final = 180.0
# A line of figures may be tens of thousands of them.
LINE_BYTES: Final = 256 * 1024 * 1024


class Child:
    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    # Any: orders and answers are JSON.
    async def ask(self, order: dict[str, Any]) -> Any:
        self.tell(order)
        return await self.answer()

    def tell(self, order: dict[str, Any]) -> None:
        """Its answer is still to be awaited."""
        assert self._process.stdin is not None  # noqa: S101 - started with a pipe
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def answer(self) -> Any:  # Any: as above
        assert self._process.stdout is not None  # noqa: S101 - started with a pipe
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWERED_WITHIN_S)
        if not line:
            raise RuntimeError(f"{self._name} ended early; what it says is above")
        return json.loads(line)


@asynccontextmanager
async def child(module: str, *arguments: float) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    try:
        yield Child(module, process)
    finally:
        process.kill()
        await process.wait()
