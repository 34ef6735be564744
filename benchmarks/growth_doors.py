"""The same two databases through the server's door: a short run, a long log's end, a page of the list."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx2

from benchmarks.figures import Table
from benchmarks.history import BUSY_USER, LONG_RUN
from benchmarks.server import Server, serving
from benchmarks.subjects.project import settings
from foundation.identity import issue_development_token

__all__ = ["doors"]

SHORT: Final = ("-m", "benchmarks.subjects.short_runs")
NOWHERE: Final = "http://127.0.0.1:9/v1"
# Less than the plan and the limit of requests allow a user in a minute, with both kinds of calls.
MOST_CALLS: Final = 30
END: Final = 200


async def doors(urls: Mapping[str, str], *, calls: int, rounds: int) -> Table:
    table = Table("through the door, p50", ("hardly any, ms", "full, ms", "times"), 2)
    async with AsyncExitStack() as opened:
        clients = {name: await opened.enter_async_context(_door(url)) for name, url in urls.items()}
        for number in range(rounds + 1):
            took: dict[str, list[float]] = defaultdict(list)
            for door in clients.values():
                for what, median_ms in (await _round(*door, calls=min(calls, MOST_CALLS))).items():
                    took[what].append(median_ms)
            for what, (few, many) in took.items():
                if number > 0:
                    table.add(what, {"hardly any, ms": few, "full, ms": many, "times": many / few})
    return table


@asynccontextmanager
async def _door(url: str) -> AsyncIterator[tuple[httpx2.AsyncClient, UUID, int]]:
    """A client of the busy user, an agent that says little, and where the end of the long log begins."""
    connection = await asyncpg.connect(url)
    try:
        agent_id: UUID = await connection.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, is_published)"
            " values ($1, 'Short', 'short', true, true) returning id",
            BUSY_USER,
        )
        newest = await connection.fetchval("select last_seq from switchyard.runs where id = $1", LONG_RUN)
    finally:
        await connection.close()
    with TemporaryDirectory() as folder:
        variables = {"DATABASE_URL": url, "DATA_DIR": folder, "REQUESTS_PER_MINUTE": "100000"}
        token = issue_development_token(settings(url, NOWHERE, DATA_DIR=folder), BUSY_USER)
        async with serving(Server(url, SHORT, variables)) as served:
            headers = {"authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as client:
                yield client, agent_id, max(newest - END, 0)


async def _round(client: httpx2.AsyncClient, agent_id: UUID, after: int, *, calls: int) -> dict[str, float]:
    took_ms: dict[str, list[float]] = defaultdict(list)
    body = {
        "agentId": str(agent_id),
        "messages": [{"role": "user", "content": "Say."}],
        "input": {"events": 3, "pause_ms": 0, "is_journaled": False},
    }
    events = {"accept": "text/event-stream", "last-event-id": str(after)}
    # Any: what a request is sent with.
    asked: dict[str, tuple[str, str, dict[str, Any]]] = {
        "a short run to its end": ("POST", "/api/agent/execute", {"json": body}),
        "the end of a long log": ("GET", f"/api/runs/{LONG_RUN}/events", {"headers": events}),
        "a page of the list": ("GET", "/api/runs?limit=50", {}),
    }
    for _ in range(calls):
        for what, (method, path, more) in asked.items():
            began_s = time.perf_counter()
            answer = await client.request(method, path, **more)
            took_ms[what].append((time.perf_counter() - began_s) * 1000)
            answer.raise_for_status()
    return {what: statistics.median(each) for what, each in took_ms.items()}
