"""Rounds of short runs from many clients at once, subject after subject."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.batches import Postgres, batch, percentile_ms
from benchmarks.doors import Ask, Door, bare, entered, switchyard
from benchmarks.figures import Table
from benchmarks.report import write_figures
from benchmarks.rivals import AEGRA, LANGGRAPH, versions
from benchmarks.threads import rivals
from tests.support.database import DatabaseServer

__all__ = ["measure"]

CLIENTS: Final = 16
# A user on the free plan may start 5 runs a minute; at 300 runs a second this many start fewer.
MOST_USERS: Final = 5_000
RUNS_A_USER: Final = 4
LOADS: Final = {
    f"5 events at once, {CLIENTS} clients": Ask(events=5),
    f"5 events in one journaled step, {CLIENTS} clients": Ask(events=5, is_journaled=True),
}
QUANTITIES: Final = (
    "runs a second",
    "server CPU a run, ms",
    "Postgres CPU a run, ms",
    "p50 of a run, ms",
    "p99 of a run, ms",
)


async def measure(*, runs: int, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    users = min(runs * (rounds + 1) * len(LOADS) // RUNS_A_USER + 1, MOST_USERS)
    async with _opened(only, users=users) as (doors, postgres):
        tables = [await _table(load, doors, postgres, runs=runs, rounds=rounds) for load in LOADS]
        for door in doors:
            await door.check_charges()
    if json_file is not None:
        figures = [asdict(each) for table in tables for each in table.medians()]
        about = {
            "versions": versions((AEGRA, LANGGRAPH)),
            "runs": runs,
            "rounds": rounds,
            "clients": CLIENTS,
        }
        write_figures(json_file, figures, about=about)


@asynccontextmanager
async def _opened(only: Sequence[str] | None, *, users: int) -> AsyncIterator[tuple[list[Door], Postgres]]:
    async with AsyncExitStack() as opened:
        database = DatabaseServer()
        opened.push_async_callback(database.stop)
        await database.start()
        subjects = (
            switchyard("Switchyard", users=users, database_url=await database.create()),
            bare("bare Starlette and asyncpg", users=users, database_url=await database.create_empty()),
            bare("bare Starlette", users=users),
            *rivals(database_url=await database.create_empty()),
        )
        doors = await entered(opened, subjects, only=only)
        yield doors, await Postgres.of(database.url)


async def _table(load: str, doors: Sequence[Door], postgres: Postgres, *, runs: int, rounds: int) -> Table:
    table = Table(load, QUANTITIES, digits=1)
    for number in range(rounds + 1):
        for door in doors:
            with door.awake():
                measured = await _round(door, LOADS[load], postgres, runs=runs)
            if number > 0:  # the first one warms up
                table.add(door.name, measured)
    table.print()
    return table


async def _round(door: Door, ask: Ask, postgres: Postgres, *, runs: int) -> dict[str, float]:
    async with AsyncExitStack() as opened:
        clients = [await door.http_client(opened) for _ in range(CLIENTS)]
        done = await batch(door.served, clients, lambda: door.request(ask), runs=runs, postgres=postgres)
    whole_s = [each.whole_s for each in done.took]
    return {
        "runs a second": runs / done.wall_s,
        "server CPU a run, ms": done.server_cpu_s * 1000 / runs,
        "Postgres CPU a run, ms": done.postgres_cpu_s * 1000 / runs,
        "p50 of a run, ms": percentile_ms(whole_s, 0.5),
        "p99 of a run, ms": percentile_ms(whole_s, 0.99),
    }
