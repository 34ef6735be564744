"""What outlives the servers a test of chat runs kills: the database, the model, the pages that tools fetch.

Every run asks two pages in parallel and then answers, in many small pieces with pauses between them, so that
a kill may find it anywhere.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from starlette.types import Send

from foundation.errors import Json
from tests.support.model import Asked, ModelProcess, Rule, read_log
from tests.support.process import DEMO_USER, ServerProcess, until
from tests.support.tables import Connection, connected
from tests.support.transcript import Message, is_terminal
from tests.support.web import Web, serve_web

__all__ = ["ANSWER", "OPENING", "PAGES", "PRICE", "Pages", "Stage", "Talk", "open_stage", "rules_of"]

OPENING = "I look at two pages."
ANSWER = " ".join(f"word{number}" for number in range(40))
CREDITS = 10_000
NAME = "Reader"
PRICE: dict[str, Json] = {"flat": 1, "per_1k_tokens": 100, "ceiling": 60}
PAGES = {"quick": 0.15, "slow": 0.6}


@dataclass
class Talk:
    """One run: what a client has seen of it, and where the kill found it."""

    name: str
    run_id: str = ""
    seen: list[Message] = field(default_factory=list)
    phase: str = ""

    @property
    def is_over(self) -> bool:
        return bool(self.seen) and is_terminal(self.seen[-1])

    @property
    def retried(self) -> list[str]:
        """The steps that were begun again."""
        return [message["step"] for message in self.seen if message["type"] == "retry"]

    async def follow(self, server: ServerProcess) -> None:
        """Read on from the last message seen, until the stream ends or breaks."""
        if self.is_over:
            return
        after = self.seen[-1]["seq"] if self.seen else 0
        async for message in server.messages(self.run_id, after=after):
            # One without a number is about the stream, not the run: a server that leaves says so.
            if "seq" in message:
                self.seen.append(message)


class Pages:
    """What the tools ask: it outlives the servers, and notes when each page was asked for."""

    def __init__(self, web: Web) -> None:
        self.began: defaultdict[str, list[datetime]] = defaultdict(list)
        self._web = web

    def add(self, path: str, *, after_s: float) -> str:
        """Serve a page that takes `after_s`; its address."""

        async def answer(send: Send) -> None:
            self.began[path].append(datetime.now(UTC))
            await asyncio.sleep(after_s)
            # A connection kept open may be closed here in the moment in which it is used again.
            head = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": f"this is {path}".encode()})

        self._web.answers[path] = answer
        return self._web.url + path


@dataclass(frozen=True)
class Stage:
    """What outlives the servers: the database, the model, the pages; and how servers are set."""

    sql: Connection
    model: ModelProcess
    pages: Pages
    agent_id: UUID
    settings: dict[str, str]
    log_file: Path

    @asynccontextmanager
    async def server(self) -> AsyncIterator[ServerProcess]:
        """A server that has asked its model before: what is loaded then belongs to no run's age."""
        async with ServerProcess.running(**self.settings) as server:
            await Talk("warm", await self.submit(server, "warm")).follow(server)
            yield server

    async def submit(self, server: ServerProcess, question: str) -> str:
        turns = [{"role": "user", "content": question}]
        return await server.submit({"agentId": str(self.agent_id), "messages": turns})

    async def clear(self) -> None:
        """As when it was opened, though a server stands on it: no run ever was, and the account is full."""
        await until(self._is_quiet, within_s=60)
        await self.model.until(lambda calls: all(call.over is not None for call in calls))
        found = await self.sql.fetch(
            "select distinct format('%I.%I', schemaname, tablename) as name from pg_tables"
            " join information_schema.columns on table_schema = schemaname and table_name = tablename"
            " where schemaname = 'switchyard' and column_name in ('run_id', 'user_id')"
        )
        tables = [*(row["name"] for row in found), "public.credit_balances"]
        deletes = "".join(f"delete from {table};" for table in tables)  # noqa: S608 - names of our own
        # The ledger is for ever, and only that role is not held to it.
        await self.sql.execute(
            f"set session_replication_role = replica; {deletes} set session_replication_role = origin"
        )
        await self.sql.execute(
            "insert into public.credit_balances (user_id, credits_remaining, plan_type)"
            " values ($1, $2, 'enterprise')",
            DEMO_USER,
            CREDITS,
        )
        await self.sql.execute("update public.agents set name = $2 where id = $1", self.agent_id, NAME)
        self.log_file.write_bytes(b"")

    async def _is_quiet(self) -> bool:
        under_way: int = await self.sql.fetchval(
            "select count(*) from switchyard.runs where status in ('queued', 'running')"
        )
        return under_way == 0

    async def calls(self) -> list[Asked]:
        """All calls of the model so far, once they are over."""
        await self.model.until(lambda calls: all(call.over is not None for call in calls))
        return read_log(self.log_file)

    async def prepare(self, talks: list[Talk]) -> None:
        await self.model.play(*(rule for talk in talks for rule in rules_of(talk.name, self.pages)))


def rules_of(name: str, pages: Pages, *, word_s: float = 0.025) -> list[Rule]:
    """What the model answers to a question with this name in it; no name may be a part of another.

    Args:
        word_s: what each word of the answer takes.
    """
    urls = [pages.add(f"/{name}/{page}", after_s=after_s) for page, after_s in PAGES.items()]
    return [
        {
            "when": {"role": "user", "contains": name},
            "reply": {
                "text": OPENING,
                "tool_calls": [{"name": "http_fetch", "arguments": {"url": url}} for url in urls],
                "before_first_s": 0.4,
                "between_s": 0.025,
            },
        },
        {
            "when": {"role": "tool", "contains": f"/{name}/"},
            "reply": {"text": ANSWER, "before_first_s": 0.3, "between_s": word_s},
        },
    ]


@asynccontextmanager
async def open_stage(demo_url: str, folder: Path) -> AsyncIterator[Stage]:
    log_file = folder / "calls.jsonl"
    async with (
        serve_web() as web,
        ModelProcess.running(log_file=log_file) as model,
        connected(demo_url) as sql,
    ):
        await sql.execute(
            "update public.credit_balances set credits_remaining = $1, plan_type = 'enterprise'", CREDITS
        )
        agent_id = await sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, tools, price)"
            " values ($1, $2, 'chat', true, $3, $4) returning id",
            DEMO_USER,
            NAME,
            ["http_fetch"],
            PRICE,
        )
        settings = {
            "DATABASE_URL": demo_url,
            "DATA_DIR": str(folder),
            "OPENAI_API_KEY": "the-key-of-the-scripted-model",
            "OPENAI_BASE_URL": model.url,
            "FETCH_PRIVATE_HOSTS": f"127.0.0.1:{web.port}",
            "LOG_LEVEL": "error",
        }
        yield Stage(sql, model, Pages(web), agent_id, settings, log_file)
