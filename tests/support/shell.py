"""A bash that a test types into, command by command, and servers in a terminal of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which

__all__ = ["Ran", "Served", "Shell", "with_curl"]

CURL = Path(__file__).parent / "curl.py"


@dataclass(frozen=True, slots=True)
class Ran:
    command: str
    code: int
    out: str
    err: str


class Shell:
    """What one command exports the next ones see."""

    def __init__(self, process: asyncio.subprocess.Process, notes: Path) -> None:
        self._process = process
        self._notes = notes

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, *, notes: Path, settings: Mapping[str, str]) -> AsyncIterator[Shell]:
        """
        Args:
            notes: a folder for what is typed and what comes of it.
            settings: the whole environment.
        """
        process = await asyncio.create_subprocess_exec(
            "bash",
            "--noprofile",
            "--norc",
            cwd=folder,
            env=settings,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield cls(process, notes)
        finally:
            # Also what a command has left behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def run(self, command: str, *, within_s: float = 60.0) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        script, out, err = (self._notes / name for name in ("command", "out", "err"))
        script.write_text(f"{command}\n", encoding="utf-8")
        line = f"source '{script}' >'{out}' 2>'{err}' </dev/null; echo $?\n"
        self._process.stdin.write(line.encode())
        async with asyncio.timeout(within_s):
            code = await self._process.stdout.readline()
        assert code, f"the shell has ended at: {command}\n{err.read_text()}"
        return Ran(command, int(code), out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


class Served:
    """A command that goes on until it is told to end, in a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, said: Path) -> None:
        self._process = process
        self._said = said

    @classmethod
    @asynccontextmanager
    async def running(
        cls, command: str, *, folder: Path, notes: Path, settings: Mapping[str, str], ready: str = ""
    ) -> AsyncIterator[Served]:
        """
        Args:
            ready: what it says once it can be used; without one it is not waited for.
        """
        said = notes / "served"
        with said.open("wb") as terminal:
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                command,
                cwd=folder,
                env=settings,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=terminal,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        served = cls(process, said)
        try:
            await served._until(ready)
            yield served
        finally:
            await served._end()

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    async def interrupt(self, *, within_s: float = 30.0) -> int:
        """Ctrl-C; the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return await asyncio.wait_for(self._process.wait(), within_s)

    async def _end(self) -> None:
        if self._process.returncode is not None:
            return
        try:
            await self.interrupt()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            raise

    async def _until(self, ready: str, *, within_s: float = 90.0) -> None:
        async with asyncio.timeout(within_s):
            while ready not in self.said:
                assert self._process.returncode is None, f"it has ended:\n{self.said}"
                await asyncio.sleep(0.05)


def with_curl(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`settings` with a `curl` on the path: the machine's own, or ours in `folder`, where it has none."""
    if which("curl", path=settings["PATH"]) is not None:
        return dict(settings)
    program = folder / "curl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CURL}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return {**settings, "PATH": f"{folder}{os.pathsep}{settings['PATH']}"}
