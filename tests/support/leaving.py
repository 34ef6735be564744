"""A server that will be told to leave, the clients it has then, and what each of them has seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.process import DEMO_USER, ServerProcess
from tests.support.stubborn import KIND, PROGRAM
from tests.support.tables import Connection

__all__ = ["SLACK_S", "Leaver", "Watcher", "leaver", "made_agent", "text"]

# A noisy machine may be late with everything; the deadline itself is read from the server's own log.
SLACK_S = 10.0

# Any: messages of the wire, lines of the log.
Document = dict[str, Any]


@dataclass
class Watcher:
    """One client that follows one run, and notes when it was sent away."""

    run_id: str
    seen: list[Document] = field(default_factory=list)
    sent_away: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int | None = None

    @property
    def events(self) -> list[Document]:
        """Without what is about the connection."""
        return [message for message in self.seen if "seq" in message]

    def hear(self, message: Document) -> None:
        self.seen.append(message)
        if message["type"] == "reconnect":
            self.sent_away.set()

    async def read(self, server: ServerProcess) -> None:
        """Over server-sent events, from the last one seen, to the end of the stream."""
        after = self.events[-1]["seq"] if self.events else 0
        async for message in server.messages(self.run_id, after=after):
            self.hear(message)

    async def listen(self, server: ServerProcess) -> None:
        """Over a socket, until it is closed."""
        token = server.client.headers["authorization"].removeprefix("Bearer ")
        offered = [Subprotocol("switchyard.v1"), Subprotocol(f"jwt-{token}")]
        url = server.client.base_url.copy_with(scheme="ws", path="/ws")
        async with connect(str(url), subprotocols=offered, proxy=None) as socket:
            await socket.send(json.dumps({"type": "agent_resume", "runId": self.run_id, "after": 0}))
            with suppress(ConnectionClosed):
                async for text in socket:
                    self.hear(json.loads(text))
            self.close_code = socket.close_code


class Leaver:
    def __init__(self, server: ServerProcess, *, drain_s: int, log_file: Path) -> None:
        self.server = server
        self.drain_s = drain_s
        self._log_file = log_file

    async def begin(self, agent_id: str, **input_: object) -> str:
        return await self.server.submit(
            {"agentId": agent_id, "messages": [{"role": "user", "content": "go"}], "input": input_}
        )

    async def until_stubborn(self, run_id: str) -> None:
        """Return once the run is where it makes leaving hard."""
        async for message in self.server.messages(run_id):
            if message["type"] == "progress":
                return

    async def exit_code(self) -> int:
        """Wait for the end that was promised."""
        return await asyncio.wait_for(self.server.process.wait(), self.drain_s + SLACK_S)

    def said(self) -> list[Document]:
        lines = [line for line in self._log_file.read_bytes().splitlines() if line.startswith(b"{")]
        return [orjson.loads(line) for line in lines]

    def line(self, event: str) -> Document:
        found = [line for line in self.said() if line["event"] == event]
        assert found, self.said()[-20:]
        return found[0]


@asynccontextmanager
async def leaver(
    settings: Mapping[str, str], folder: Path, *, drain_s: int, name: str = "leaver"
) -> AsyncIterator[Leaver]:
    log_file = folder / f"{name}.log"
    configured = {**settings, "LOG_LEVEL": "info", "DRAIN_SECONDS": str(drain_s)}
    async with ServerProcess.of(configured, program=(*PROGRAM, "serve"), log_file=log_file) as server:
        yield Leaver(server, drain_s=drain_s, log_file=log_file)


async def made_agent(sql: Connection) -> str:
    """A stubborn agent of the demo's user, who can pay for it."""
    await sql.execute("update public.credit_balances set credits_remaining = 10000, plan_type = 'enterprise'")
    return str(
        await sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy) values ($1, 'Stubborn', $2, true)"
            " returning id",
            DEMO_USER,
            KIND,
        )
    )


def text(messages: Iterable[Document]) -> str:
    """What the chunks come to that count, by the rule for `retry`."""
    kept: list[tuple[int, str, str]] = []
    for message in messages:
        match message["type"]:
            case "chunk" | "agent_chunk":
                kept.append((message["seq"], message["step"], message["content"]))
            case "retry" | "agent_retry":
                last, step = message["discardAfter"], message["step"]
                kept = [each for each in kept if each[1] != step or each[0] <= last]
            case _:
                """No text."""
    return "".join(content for _, _, content in kept)
