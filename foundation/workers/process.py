"""One job's process as the server sees it: start it, ask it, hear it, end it.

Ending is closing the lifeline: the keeper on the other end then kills the worker and all it started. The same
happens by itself when the server dies, so there is one way to end and it is always used.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from foundation.errors import Json
from foundation.workers import child
from foundation.workers.environment import child_environment
from foundation.workers.errors import JobCrashed, JobFailed

__all__ = ["Child", "OnProgress", "Progress"]

PROGRAM = Path(child.__file__)
# An answer may reach its limit and be wrapped; anything above is not one of ours.
FRAME_LIMIT_BYTES = child.RESULT_LIMIT_BYTES + 64 * 1024
OUTPUT_KEPT_BYTES = 8 * 1024
PIPE_BUFFER_BYTES = 1024 * 1024
END_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a job says of itself: `fraction` from 0 to 1, and a few words."""

    fraction: float
    note: str


OnProgress = Callable[[Progress], Awaitable[None]]


class Child:
    def __init__(
        self, process: Process, *, requests: StreamWriter, answers: StreamReader, output: StreamReader
    ) -> None:
        self._process = process
        self._requests = requests
        self._answers = answers
        self._output = bytearray()
        self._listening = asyncio.create_task(self._listen(output), name="workers.output")
        self.jobs_done = 0

    @classmethod
    async def start(cls, *, memory_mb: int) -> Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the program's folder must not shadow modules of the same names
            str(PROGRAM),
            str(memory_mb),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=child_environment(os.environ),
            limit=PIPE_BUFFER_BYTES,
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018, S101 — asked for
        return cls(process, requests=process.stdin, answers=process.stdout, output=process.stderr)

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    @property
    def output(self) -> str:
        """The end of what the current job, and whatever it started, has printed."""
        return self._output.decode(errors="replace")

    async def ask(self, request: bytes, *, on_progress: OnProgress | None) -> Json | JobFailed:
        """Send a job, as JSON, and wait for its result or what it raised; not for two jobs at once.

        A job that reports faster than `on_progress` returns is made to wait. After any exception this process
        is unfit for another job.

        Raises:
            JobCrashed: the process died or talks nonsense.
        """
        self._output.clear()
        self.jobs_done += 1
        await self._send(request)
        while "progress" in (answer := await self._receive()):
            if on_progress is not None:
                await on_progress(_progress(answer["progress"]))
        return _result(answer)

    def kill(self) -> None:
        """End the worker and all it started, now. Repeats safely."""
        lifeline = self._requests.transport
        if not lifeline.is_closing():
            lifeline.abort()  # `close` would first wait for unsent bytes to be read

    async def bury(self) -> None:
        """Kill it and wait until nothing of it is left. Repeats safely."""
        self.kill()
        try:
            async with asyncio.timeout(END_LIMIT_S):
                await self._process.wait()
        except TimeoutError:
            # A stopped keeper hears nothing; the kernel takes the worker with it.
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait([self._listening], timeout=END_LIMIT_S)
        self._listening.cancel()

    async def _send(self, request: bytes) -> None:
        try:
            self._requests.write(child.frame(request))
            await self._requests.drain()
        except ConnectionError:
            raise JobCrashed(await self._cause_of_death()) from None

    async def _receive(self) -> dict[str, Json]:
        try:
            (length,) = child.HEADER.unpack(await self._answers.readexactly(child.HEADER.size))
            if length > FRAME_LIMIT_BYTES:
                raise JobCrashed(f"sent a frame of {length} bytes")
            answer: dict[str, Json] = orjson.loads(await self._answers.readexactly(length))
        except (ConnectionError, asyncio.IncompleteReadError):
            raise JobCrashed(await self._cause_of_death()) from None
        return answer

    async def _cause_of_death(self) -> str:
        """Also waits for the last of its output."""
        await self.bury()
        return _cause(self._process.returncode or 0)

    async def _listen(self, output: StreamReader) -> None:
        """Read all output, so that no job blocks on it, and keep the end of it."""
        while chunk := await output.read(PIPE_BUFFER_BYTES):
            self._output += chunk
            del self._output[:-OUTPUT_KEPT_BYTES]


def _cause(code: int) -> str:
    """Of an exit code: negative for a signal to the keeper, 128 + signal for one to the worker."""
    names = {each.value: each.name for each in signal.Signals}
    number = -code if code < 0 else code - 128
    return f"was killed by {names[number]}" if number in names else f"ended with exit code {code}"


def _result(answer: dict[str, Json]) -> Json | JobFailed:
    match answer:
        case {"result": result}:
            return result
        case {"error": {"type": str(error_type), "message": str(message), "trace": str(trace)}}:
            return JobFailed(error_type=error_type, message=message, trace=trace)
        case {"exhausted": True}:
            raise JobCrashed("ran out of the memory it may take")
        case _:
            raise JobCrashed("sent an answer that is none")


def _progress(report: Json) -> Progress:
    match report:
        case [float(fraction) | int(fraction), str(note)]:
            return Progress(fraction=min(max(float(fraction), 0.0), 1.0), note=note)
        case _:
            raise JobCrashed("sent a report that is none")
