"""What a purge costs those who work beside it: how long a batch holds its locks, what garbage it leaves."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.figures import Table
from benchmarks.history import History
from benchmarks.hot_paths import HotPaths, Taken
from heavy_agents.runs.reaper import PURGE_BATCH
from tests.support.sql import Connection, Sql, talking

__all__ = ["purging"]

KEPT_DAYS: Final = 1
ALONE: Final = "alone, µs"
BESIDE: Final = "beside a purge, µs"
TIMES: Final = "times"
SLOWEST: Final = "the slowest of a round, alone, µs"
SLOWEST_BESIDE: Final = "the slowest, beside a purge, µs"
LOOK: Final = """
select relname, n_live_tup, n_dead_tup, autovacuum_count, pg_total_relation_size(relid) / 1048576 as megabytes
from pg_stat_user_tables where schemaname = 'switchyard' and relname = any ($1) order by relname
"""
TABLES: Final = ["runs", "events", "steps", "calls"]
COLUMNS: Final = {
    "live rows": "n_live_tup",
    "dead rows": "n_dead_tup",
    "autovacuums": "autovacuum_count",
    "MB": "megabytes",
}


class _Purge:
    """As the reaper does it, a batch and a rest as long as it took; it stands still unless it may go."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self.may_go = asyncio.Event()
        self.runs = 0
        self.took_s: list[float] = []
        self.is_over = False

    async def go_on(self) -> None:
        while not self.is_over:
            await self.may_go.wait()
            began_s = time.perf_counter()
            answer = await self._sql.call("runs_purge", keep_days=KEPT_DAYS, limit=PURGE_BATCH)
            self.took_s.append(time.perf_counter() - began_s)
            self.runs += answer["runs"]
            self.is_over = not answer["more"]
            await asyncio.sleep(self.took_s[-1])


async def purging(url: str, history: History, *, calls: int, lasts_s: float) -> list[Table]:
    """Lives of runs, alone and beside a purge in turn, until all that is old is gone or the time is over."""
    beside = Table("beside a purge", (ALONE, BESIDE, TIMES, SLOWEST, SLOWEST_BESIDE), 2)
    batches = Table("a purge", ("runs", "runs a second", "batches", "ms p50", "ms p99", "ms at most"), 0)
    left = Table("what a purge leaves", tuple(COLUMNS), 0)
    async with talking(url, size=3) as sql:
        path = await HotPaths.of(sql, history)
        await _look(left, "before", sql.connection)
        began_s, worked_s = time.perf_counter(), 0.0
        async with _purge(sql) as purge:
            while time.perf_counter() - began_s < lasts_s and not purge.is_over:
                alone = await _round(path, calls=calls)
                purge.may_go.set()
                went_s = time.perf_counter()
                _add(beside, alone, await _round(path, calls=calls))
                purge.may_go.clear()
                worked_s += time.perf_counter() - went_s
        batches.add("batches with their rests", _of_batches(purge, worked_s=worked_s))
        await _look(left, "after", sql.connection)
    return [beside, batches, left]


@asynccontextmanager
async def _purge(sql: Sql) -> AsyncIterator[_Purge]:
    purge = _Purge(sql)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(purge.go_on())
        yield purge
        task.cancel()


async def _round(path: HotPaths, *, calls: int) -> Taken:
    taken: Taken = defaultdict(list)
    for _ in range(calls):
        await path.live(taken)
    return taken


def _add(table: Table, alone: Taken, beside: Taken) -> None:
    for function, alone_us in alone.items():
        median_us, beside_us = statistics.median(alone_us), statistics.median(beside[function])
        slowest = {SLOWEST: max(alone_us), SLOWEST_BESIDE: max(beside[function])}
        table.add(function, {ALONE: median_us, BESIDE: beside_us, TIMES: beside_us / median_us, **slowest})


def _of_batches(purge: _Purge, *, worked_s: float) -> Mapping[str, float]:
    took_ms = sorted(each * 1000 for each in purge.took_s)
    return {
        "runs": purge.runs,
        "runs a second": purge.runs / worked_s,
        "batches": len(took_ms),
        "ms p50": statistics.median(took_ms),
        "ms p99": took_ms[len(took_ms) * 99 // 100],
        "ms at most": took_ms[-1],
    }


async def _look(table: Table, when: str, connection: Connection) -> None:
    await connection.execute("select pg_stat_force_next_flush()")
    for row in await connection.fetch(LOOK, TABLES):
        table.add(f"{row['relname']}, {when}", {name: float(row[column]) for name, column in COLUMNS.items()})
