"""A soak: servers, visitors and a look at each server every few seconds, until the time is over."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
import httpx2

from benchmarks.report import write_figures
from benchmarks.server import Served, Server, serving
from benchmarks.slopes import Slope, slope_of
from benchmarks.subjects.project import make_agent, make_users, settings
from benchmarks.visits import Ground, Visitors
from tests.support.database import DatabaseServer
from tests.support.model import ModelProcess, Rule

__all__ = ["BOUNDS", "Soak", "measure"]

MEGABYTE: Final = 1024 * 1024
# What may be gained in ten minutes: the noise of an allocator, and of who happens to be there at a look.
BOUNDS: Final[Mapping[str, float]] = {
    "memory, MB": 2.0,
    "tasks": 3.0,
    "open files": 3.0,
    "threads": 1.0,
    "connections to Postgres": 1.0,
}
# A shorter soak shows that everything works; it cannot show that nothing grows.
TELLING_MINUTES: Final = 10.0
TASKS: Final = re.compile(r"^event_loop_tasks (\S+)$", re.MULTILINE)
SHORT: Final = ("-m", "benchmarks.subjects.short_runs")
RULES: Final[Sequence[Rule]] = [
    {"reply": {"text": "It is late in Berlin, and early elsewhere.", "between_s": 0.02}}
]

# (second, quantity) pairs by quantity.
Seen = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Soak:
    minutes: float
    pace: float
    servers: int
    look_s: float
    seed: int


async def measure(soak: Soak, *, json_file: Path | None) -> bool:
    """Whether nothing grew; a soak too short to tell says yes."""
    async with _ground(soak) as (servers, ground, url):
        visitors = Visitors(ground, seed=soak.seed)
        seen, visits = await _soak(soak, servers, visitors, url)
        await _check(url, visits)
    slopes = [{each: slope_of(pairs) for each, pairs in one.items()} for one in seen]
    _print(slopes, visits)
    if json_file is not None:
        figures = [
            {"server": number, "quantity": each, **asdict(slope)}
            for number, of_one in enumerate(slopes, 1)
            for each, slope in of_one.items()
        ]
        write_figures(json_file, figures, about={"soak": asdict(soak), "visits": visits, "seen": seen})
    if soak.minutes < TELLING_MINUTES:
        return True
    return all(slope.is_flat(BOUNDS[each]) for of_one in slopes for each, slope in of_one.items())


@asynccontextmanager
async def _ground(soak: Soak) -> AsyncIterator[tuple[list[Served], Ground, str]]:
    async with AsyncExitStack() as opened:
        database = DatabaseServer()
        opened.push_async_callback(database.stop)
        await database.start()
        url = await database.create()
        users = await make_users(url)
        model = await opened.enter_async_context(ModelProcess.running())
        await model.play(*RULES)
        folder = opened.enter_context(TemporaryDirectory())
        variables = {
            "DATABASE_URL": url,
            "DATA_DIR": folder,
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "none",
            "LOG_LEVEL": "warning",
        }
        servers = [
            await opened.enter_async_context(serving(Server(f"server {n}", SHORT, variables)))
            for n in range(1, soak.servers + 1)
        ]
        ground = Ground(
            [each.url for each in servers],
            settings=settings(url, model.url, DATA_DIR=folder),
            users=users,
            chat=await make_agent(url, users[0]),
            short=await _short_agent(url),
        )
        yield servers, ground, url


async def _short_agent(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        made = await connection.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, is_published)"
            " select user_id, 'Short', 'short', true, true from public.agents limit 1 returning id"
        )
    finally:
        await connection.close()
    return str(made)


async def _soak(
    soak: Soak, servers: Sequence[Served], visitors: Visitors, url: str
) -> tuple[list[Seen], dict[str, int]]:
    """What was seen of each server, and how often each thing was done, or went wrong."""
    began_s = time.monotonic()
    until_s = began_s + soak.minutes * 60
    looking: Sequence[Seen] = [{each: [] for each in BOUNDS} for _ in servers]
    connection = await asyncpg.connect(url)
    try:
        async with httpx2.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(visitors.come(pace=soak.pace, until_s=until_s))
            while time.monotonic() < until_s:
                await asyncio.sleep(soak.look_s)
                second = time.monotonic() - began_s
                for served, seen in zip(servers, looking, strict=True):
                    for each, value in (await _look(served, client, connection, of=len(servers))).items():
                        seen[each].append((round(second, 1), value))
    finally:
        await connection.close()
    return list(looking), dict(visitors.done)


async def _look(
    served: Served, client: httpx2.AsyncClient, connection: asyncpg.Connection[asyncpg.Record], *, of: int
) -> dict[str, float]:
    """Connections are counted for all servers together, and divided."""
    found = TASKS.search((await client.get(f"{served.url}/metrics")).text)
    assert found is not None  # noqa: S101 - every server tells it
    connections = await connection.fetchval(
        "select count(*) from pg_stat_activity where application_name like 'switchyard%'"
    )
    held = (
        served.process.memory_info().rss / MEGABYTE,
        float(found[1]),
        served.process.num_fds(),
        served.process.num_threads(),
        connections / of,
    )
    return dict(zip(BOUNDS, held, strict=True))


async def _check(url: str, visits: Mapping[str, int]) -> None:
    """That the visitors were served, and that the money is right."""
    connection = await asyncpg.connect(url)
    try:
        wrong = json.loads(await connection.fetchval("select public.switchyard_audit()"))
    finally:
        await connection.close()
    failed = {name: count for name, count in visits.items() if name.startswith("failed")}
    if wrong or sum(failed.values()) > sum(visits.values()) / 100:
        raise RuntimeError(f"the audit says {wrong}; of {Counter(visits)} went wrong: {failed}")


def _print(slopes: Sequence[Mapping[str, Slope]], visits: Mapping[str, int]) -> None:
    """In Markdown."""
    print("\n| server | quantity | third quarter | last quarter | gained in 10 min | at most | |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for number, of_one in enumerate(slopes, 1):
        for each, slope in of_one.items():
            verdict = "flat" if slope.is_flat(BOUNDS[each]) else "grows"
            print(
                f"| {number} | {each} | {slope.third:.1f} | {slope.last:.1f} | {slope.gained:+.2f}"
                f" | {BOUNDS[each]:g} | {verdict} |"
            )
    print("\n" + ", ".join(f"{count} {name}" for name, count in sorted(visits.items())))
