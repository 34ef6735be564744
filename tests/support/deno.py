"""Deno as the tests start it: without a network but loopback's, and with nothing of a developer's own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.support.process import NO_TLS, ROOT, environment, free_port, until

__all__ = ["CONFIG", "FUNCTION", "OFFLINE", "deno", "running_function"]

DENO = Path(sys.executable).with_name("deno")
CONFIG = ROOT / "supabase" / "functions" / "deno.json"
FUNCTION = ROOT / "supabase" / "functions" / "agent-runtime" / "index.ts"
OFFLINE = ("--cached-only", "--no-remote", "--no-npm", f"--config={CONFIG}")
WITHIN_S = 300.0


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    own = {"DENO_DIR": str(ROOT / ".switchyard" / "deno"), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    return {**environment(settings), **own}


async def deno(*arguments: str, **settings: str) -> tuple[int, str]:
    """Run a command to its end; its exit code, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        DENO,
        *arguments,
        cwd=ROOT,
        env=_settings(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


@asynccontextmanager
async def running_function(log: Path, **settings: str) -> AsyncIterator[str]:
    """The edge function in a process of its own, as `Deno.serve` serves it; its address."""
    port = free_port()
    address = {"DENO_SERVE_ADDRESS": f"tcp:127.0.0.1:{port}"}
    allowed = ("--allow-env", "--allow-net")
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            DENO,
            *("run", "--no-check", "--no-prompt", *OFFLINE, *allowed, str(FUNCTION)),
            cwd=ROOT,
            env=_settings({**settings, **address}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=asyncio.subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{port}/agent-runtime"
        try:
            async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:

                async def answers() -> bool:
                    assert process.returncode is None, os.fspath(log)
                    try:
                        return (await client.get(url)).status_code == httpx2.codes.METHOD_NOT_ALLOWED
                    except httpx2.TransportError:
                        return False

                await until(answers, within_s=60)
            yield url
        finally:
            process.kill()
            await process.wait()
