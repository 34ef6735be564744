"""The rounds of the growth benchmark: an all but empty database and a full one, in turn."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.figures import Table
from benchmarks.garbage import garbage
from benchmarks.growth_doors import doors
from benchmarks.history import History, write_people, write_runs
from benchmarks.hot_paths import HotPaths, Taken
from benchmarks.purging import purging
from benchmarks.queues import queues
from benchmarks.report import write_figures
from tests.support.database import DatabaseServer
from tests.support.sql import talking

__all__ = ["EMPTY", "FULL", "Growth", "measure"]

EMPTY: Final = "hardly any, µs"
FULL: Final = "full, µs"
TIMES: Final = "times"
# So that a page of a list and a run to be resumed are there too.
FEW_RUNS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Growth:
    """`queued` are lengths of queues, `lives` the runs that come and go to leave garbage."""

    history: History
    calls: int
    queued: Sequence[int]
    lives: int
    purge_s: float
    rounds: int


async def measure(growth: Growth, *, json_file: Path | None) -> None:
    few = replace(
        growth.history,
        runs=min(FEW_RUNS, growth.history.runs),
        events=min(FEW_RUNS, growth.history.runs) * growth.history.events_a_run,
        long_events=min(FEW_RUNS, growth.history.long_events),
    )
    tables = []
    async with _databases(few, growth.history) as (server, urls):
        # Each as soon as it is there: all together take an hour.
        async for table in _tables(growth, server, urls):
            table.print()
            tables.append(table)
    if json_file is not None:
        figures = [asdict(each) for table in tables for each in table.medians()]
        write_figures(json_file, figures, about=asdict(growth))


async def _tables(growth: Growth, server: DatabaseServer, urls: Mapping[str, str]) -> AsyncIterator[Table]:
    yield await _functions(growth, urls)
    async for table in queues(urls[FULL], growth.queued, rounds=growth.rounds):
        yield table
    yield await doors(urls, calls=growth.calls, rounds=growth.rounds)
    yield await garbage(await server.create(), lives=growth.lives, rounds=growth.rounds)
    # Last: it takes the past away.
    for table in await purging(urls[FULL], growth.history, calls=growth.calls, lasts_s=growth.purge_s):
        yield table


@asynccontextmanager
async def _databases(few: History, many: History) -> AsyncIterator[tuple[DatabaseServer, Mapping[str, str]]]:
    """Both in one server, so that they share what it has."""
    async with AsyncExitStack() as opened:
        # Tests have 64 MB. Whoever stores millions of events has a database with some memory.
        server = DatabaseServer(shared_buffers="1GB")
        opened.push_async_callback(server.stop)
        await server.start()
        urls = {EMPTY: await server.create(), FULL: await server.create()}
        for url, history in zip(urls.values(), (few, many), strict=True):
            await write_people(url, history)
            await write_runs(url, history)
        yield server, urls


async def _functions(growth: Growth, urls: Mapping[str, str]) -> Table:
    """Medians of a round; the first round warms up."""
    table = Table(f"{growth.history.runs} runs, {growth.history.events} events", (EMPTY, FULL, TIMES), 2)
    async with AsyncExitStack() as opened:
        paths = {
            name: await HotPaths.of(await opened.enter_async_context(talking(url, size=2)), growth.history)
            for name, url in urls.items()
        }
        for number in range(growth.rounds + 1):
            took: dict[str, dict[str, float]] = defaultdict(dict)
            for name, path in paths.items():
                for function, times_us in (await _round(path, calls=growth.calls)).items():
                    took[function][name] = statistics.median(times_us)
            for function, of_both in took.items():
                if number > 0:
                    table.add(function, {**of_both, TIMES: of_both[FULL] / of_both[EMPTY]})
    return table


async def _round(path: HotPaths, *, calls: int) -> Taken:
    taken: Taken = defaultdict(list)
    for _ in range(calls):
        await path.live(taken)
        await path.look(taken)
    return taken
