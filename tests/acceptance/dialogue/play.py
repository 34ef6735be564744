"""Dialogues with two WebSocket clients that are not ours, each in a process of its own.

A dialogue is an address and steps: `say` a message, or a text as it is (`$runId` is the last run that
started), hear `until` a message of a type, `ping` with a control frame, `close` with a code. After the last
step the client listens until it is closed. Its transcript is what it reports, in order; what differs from run
to run is replaced by what it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.support.npm import installed, node
from tests.support.process import environment
from tests.support.server import Document

__all__ = ["SPEAKERS", "Dialogue", "Speaker", "Talk", "play", "talking"]

WS_VERSION: Final = "8.23.0"
HERE: Final = Path(__file__).parent
WITHIN_S: Final = 30
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

Speaker = Literal["websockets", "ws"]
SPEAKERS: Final[tuple[Speaker, Speaker]] = ("websockets", "ws")


@dataclass(frozen=True)
class Dialogue:
    """`url` is the server's; `query` comes after the path of its sockets."""

    url: str
    steps: list[tuple[str, object]]
    query: str = ""
    protocols: list[str] = field(default_factory=list)

    def document(self) -> Document:
        url = f"{self.url.replace('http', 'ws', 1)}/ws{self.query}"
        return {"url": url, "protocols": self.protocols, "steps": self.steps}


class Talk:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: list[Document] = []
        self._runs: dict[str, str] = {}

    async def next(self) -> Document:
        """The next line of the client."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, f"the client has ended after {self._lines[-1:]}"
        self._lines.append(self._plain(json.loads(line)))
        return self._lines[-1]

    async def to_end(self) -> list[Document]:
        """All of its lines; the last is how it was closed."""
        async with asyncio.timeout(WITHIN_S):
            while "closed" not in (self._lines or [{}])[-1]:
                await self.next()
            assert await self._process.wait() == 0
        return self._lines

    # Any: a line, or a part of one.
    def _plain(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self._plain(each, key) for key, each in value.items()}
        if name == "runId":
            return self._runs.setdefault(value, f"run {len(self._runs) + 1}")
        if name == "executionTime" and isinstance(value, int) and value >= 0:
            return "milliseconds"
        if name == "timestamp" and TIME.fullmatch(value):
            return "time"
        return value


@asynccontextmanager
async def talking(speaker: Speaker, dialogue: Dialogue) -> AsyncIterator[Talk]:
    """The client at its first word; killed at the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        *await asyncio.to_thread(_command, speaker),
        env=environment({}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(dialogue.document()).encode())
        process.stdin.close()
        yield Talk(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def play(speaker: Speaker, dialogue: Dialogue) -> list[Document]:
    """The whole transcript."""
    async with talking(speaker, dialogue) as talk:
        return await talk.to_end()


def _command(speaker: Speaker) -> list[str]:
    if speaker == "websockets":
        return [sys.executable, str(HERE / "speaker.py")]
    package = installed("ws", WS_VERSION) / "node_modules" / "ws" / "wrapper.mjs"
    return [*node(), str(HERE / "speaker.mjs"), package.as_uri()]
