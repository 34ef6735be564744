"""The rounds of the socket benchmark: each server is started anew, crowded and looked at."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import httpx2

from benchmarks.child import Child, child
from benchmarks.figures import Table
from benchmarks.loop_lag import late_at_most_ms, loop_ticks
from benchmarks.probe import probing
from benchmarks.report import write_figures
from benchmarks.script import QUESTION
from benchmarks.server import SWITCHYARD, Served, Server, serving
from benchmarks.subjects.project import make_agent, make_users, settings
from foundation.identity import issue_development_token
from foundation.settings import Settings
from tests.support.database import DatabaseServer

__all__ = ["Load", "measure"]

SETTLE_S: Final = 2.0
QUIET_S: Final = 3.0
A_USER: Final = 5
KILOBYTE: Final = 1024
EACH: Final = "kB each"
LAG: Final = "a request meanwhile p99, ms"
P50: Final = "under way p50, ms"
P99: Final = "p99, ms"
CPU: Final = "CPU a message, µs"
LOOP: Final = "loop lag p99, ms at most"
BARE: Final = ("-m", "benchmarks.subjects.bare_sockets")
DEFLATED: Final = Server("bare Starlette, uvicorn's default", BARE, {})
PLAIN: Final = Server("bare Starlette, no compression", BARE, {"COMPRESSION": "0"})


@dataclass(frozen=True, slots=True)
class Load:
    """`sockets` grow; `events` of one run at `pace` a second go to `watchers`."""

    sockets: Sequence[int]
    watchers: int
    pace: float
    events: int


@dataclass(frozen=True, slots=True)
class Project:
    """What the sockets of Switchyard sign in to."""

    server: Server
    settings: Settings
    users: list[UUID]
    agent_id: UUID

    def offer(self, user: UUID) -> str:
        return f"switchyard.v1, jwt-{issue_development_token(self.settings, user)}"


async def measure(load: Load, *, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    tables = [
        *(Table(f"{count} idle sockets", (EACH, LAG), 1) for count in load.sockets),
        Table(
            f"one run, {load.watchers} watchers, {load.pace:g} events a second", (P50, P99, LAG, LOOP, CPU), 1
        ),
    ]
    async with _project() as project:
        for _ in range(rounds):
            for server in (PLAIN, DEFLATED, project.server):
                if only is None or server.name in only:
                    await _crowd(load, server, project, tables[:-1])
                    if server is not DEFLATED:  # what it says would have to be inflated by the crowd
                        await _watch(load, server, project, tables[-1])
    for table in tables:
        table.print()
    if json_file is not None:
        versions = {name: version(name) for name in ("starlette", "uvicorn", "websockets")}
        about = {"versions": versions, "rounds": rounds, "load": asdict(load)}
        write_figures(json_file, [asdict(each) for table in tables for each in table.medians()], about=about)


async def _crowd(load: Load, server: Server, project: Project, tables: Sequence[Table]) -> None:
    """Memory is what the process has grown by, a moment after the last socket was opened."""
    offers = _offers(server, project, max(load.sockets, default=0))
    async with serving(server) as served, child("benchmarks.crowd") as crowd:
        # The first ones bring what is loaded with the first.
        await crowd.ask({"open": 1, "port": served.port, "offers": list(islice(offers, 1))})
        await asyncio.sleep(SETTLE_S)
        before, had = served.process.memory_info().rss, 1
        for table, count in zip(tables, load.sockets, strict=True):
            more = list(islice(offers, count - had))
            had = (await crowd.ask({"open": len(more), "port": served.port, "offers": more}))["open"]
            await asyncio.sleep(SETTLE_S)
            each = (served.process.memory_info().rss - before) / (had - 1)
            async with probing(served.port) as took_ms:
                await asyncio.sleep(QUIET_S)
            table.add(server.name, {EACH: each / KILOBYTE, LAG: _p99(took_ms)})


def _offers(server: Server, project: Project, count: int) -> Iterator[str]:
    if server is not project.server:
        return iter([""] * count)
    return (project.offer(project.users[number // A_USER]) for number in range(count))


async def _watch(load: Load, server: Server, project: Project, table: Table) -> None:
    async with AsyncExitStack() as opened:
        if server is project.server:
            model = await opened.enter_async_context(child("benchmarks.paced_model", load.events, load.pace))
            url = f"http://127.0.0.1:{await model.answer()}/v1"
            raised = {"SOCKETS_PER_USER": "1000", "REQUESTS_PER_MINUTE": "100000", "OPENAI_BASE_URL": url}
        else:
            raised = {"WORDS_A_SECOND": str(load.pace)}
        told = replace(server, settings={**server.settings, **raised})
        served = await opened.enter_async_context(serving(told))
        crowd = await opened.enter_async_context(child("benchmarks.crowd"))
        owner = project.users[-1]
        offers = [project.offer(owner) if server is project.server else ""] * load.watchers
        await crowd.ask({"open": load.watchers, "port": served.port, "offers": offers})
        if server is project.server:
            await _start(served, crowd, project, owner)
        table.add(server.name, await _heard(load, served, crowd))


async def _start(served: Served, crowd: Child, project: Project, owner: UUID) -> None:
    """One run, which all watch."""
    headers = {
        "authorization": f"Bearer {issue_development_token(project.settings, owner)}",
        "prefer": "respond-async",
    }
    body = {"agentId": str(project.agent_id), "messages": [{"role": "user", "content": QUESTION}]}
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        answer = await client.post("/api/agent/execute", json=body, headers=headers)
        run_id = answer.raise_for_status().json()["runId"]
    await crowd.ask({"say": json.dumps({"type": "agent_resume", "runId": run_id, "after": 0})})


async def _heard(load: Load, served: Served, crowd: Child) -> dict[str, float]:
    """Of the events that are sent once the watchers have settled."""
    settle_s = load.events / load.pace / 4
    await asyncio.sleep(settle_s)
    from_ns = time.monotonic_ns()
    ticks, cpu_s = await loop_ticks(served.url), served.cpu_now_s()
    async with probing(served.port) as lag_ms:
        await asyncio.sleep(2 * settle_s)
    cpu_s = served.cpu_now_s() - cpu_s
    ticks, to_ns = await loop_ticks(served.url) - ticks, time.monotonic_ns()
    # Until the last of them has been told to everybody, however busy the machine is.
    await asyncio.sleep(settle_s)
    heard = await crowd.ask({"tell": True})
    pairs = [
        pair for pair in zip(heard["sent_ns"], heard["took_ns"], strict=True) if from_ns <= pair[0] < to_ns
    ]
    took_ms = [took / 1e6 for _, took in pairs]
    words = len({sent for sent, _ in pairs})
    if len(took_ms) != load.watchers * words:
        raise RuntimeError(f"{load.watchers} watchers heard {len(took_ms)} times of {words} events")
    figures = {P50: statistics.median(took_ms), P99: _p99(took_ms), LAG: _p99(lag_ms)}
    loop = {LOOP: late_at_most_ms(ticks, share=0.99)} if ticks else {}
    return {**figures, **loop, CPU: cpu_s / len(took_ms) * 1e6}


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@asynccontextmanager
async def _project() -> AsyncIterator[Project]:
    database = DatabaseServer()
    await database.start()
    try:
        with TemporaryDirectory() as folder:
            url = await database.create()
            users = await make_users(url)
            variables = {"DATABASE_URL": url, "DATA_DIR": folder, "OPENAI_API_KEY": "none"}
            configured = settings(url, "http://127.0.0.1:9/v1", DATA_DIR=folder)
            server = Server("Switchyard", SWITCHYARD, variables)
            yield Project(server, configured, users, await make_agent(url, users[0]))
    finally:
        await database.stop()
