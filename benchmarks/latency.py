"""Rounds of single runs, one after the other, subject after subject: when the agent's first event arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.batches import Batch, Postgres, batch, percentile_ms
from benchmarks.client import InTurn
from benchmarks.doors import Ask, Door, bare, entered, switchyard
from benchmarks.far import at_distance, round_trips_ms
from benchmarks.figures import Table
from benchmarks.report import write_figures
from benchmarks.rivals import AEGRA, LANGGRAPH, versions
from benchmarks.threads import rivals
from tests.support.database import DatabaseServer

__all__ = ["measure"]

# The agent goes on after its first event, so that this one is not stored together with the end.
ASK: Final = Ask(events=2, pause_ms=5)
DISTANCE_MS: Final = 5.0
# Over HTTP and over a WebSocket the same users ask.
WAYS: Final = 2
# A user on the free plan may start 5 runs a minute, and somebody's socket is that user's.
RUNS_A_USER: Final = 2
QUANTITIES: Final = ("p50, ms", "p95, ms", "p99, ms", "server CPU a run, ms")


async def measure(*, runs: int, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    users = runs * (rounds + 1) * WAYS // RUNS_A_USER + 1
    async with AsyncExitStack() as opened:
        database = DatabaseServer()
        opened.push_async_callback(database.stop)
        await database.start()
        laps = Laps(await Postgres.of(database.url), runs=runs, rounds=rounds)
        async with _near(database, users=users, only=only) as doors:
            await laps.table("over HTTP", doors)
            await laps.table(
                "over a WebSocket", [each for each in doors if each.has_sockets], are_sockets=True
            )
        async with _far(database, users=users, only=only) as (doors, measured_ms):
            await laps.table(f"over HTTP, the database {measured_ms:.1f} ms away", doors)
    if json_file is not None:
        figures = [asdict(each) for table in laps.tables for each in table.medians()]
        about = {"versions": versions((AEGRA, LANGGRAPH)), "runs": runs, "rounds": rounds}
        write_figures(json_file, figures, about=about)


class Laps:
    """The tables so far; all with the same number of runs and rounds."""

    def __init__(self, postgres: Postgres, *, runs: int, rounds: int) -> None:
        self.tables: list[Table] = []
        self._postgres = postgres
        self._runs = runs
        self._rounds = rounds

    async def table(self, load: str, doors: Sequence[Door], *, are_sockets: bool = False) -> None:
        table = Table(f"first event {load}", QUANTITIES, digits=1)
        for number in range(self._rounds + 1):
            for door in doors:
                with door.awake():
                    done = await self._batch(door, are_sockets=are_sockets)
                if number > 0:  # the first one warms up
                    table.add(door.name, _figures(done))
        table.print()
        self.tables.append(table)

    async def _batch(self, door: Door, *, are_sockets: bool) -> Batch:
        async with AsyncExitStack() as opened:
            if are_sockets:
                sockets = range(-(-self._runs // RUNS_A_USER))
                client = InTurn([await door.socket_client(opened) for _ in sockets])
                request = door.message(ASK)
                return await batch(
                    door.served, [client], lambda: request, runs=self._runs, postgres=self._postgres
                )
            return await batch(
                door.served,
                [await door.http_client(opened)],
                lambda: door.request(ASK),
                runs=round(self._runs * door.share) or 1,
                postgres=self._postgres,
            )


@asynccontextmanager
async def _near(
    database: DatabaseServer, *, users: int, only: Sequence[str] | None
) -> AsyncIterator[list[Door]]:
    async with AsyncExitStack() as opened:
        subjects = (
            switchyard("Switchyard", users=users, database_url=await database.create()),
            bare("bare Starlette and asyncpg", users=users, database_url=await database.create_empty()),
            bare("bare Starlette", users=users),
            *rivals(database_url=await database.create_empty()),
        )
        yield await entered(opened, subjects, only=only)


@asynccontextmanager
async def _far(
    database: DatabaseServer, *, users: int, only: Sequence[str] | None
) -> AsyncIterator[tuple[list[Door], float]]:
    """With a relay before the database, and the milliseconds of a round trip as they were measured."""
    async with AsyncExitStack() as opened:

        async def moved(url: str) -> str:
            return await opened.enter_async_context(at_distance(url, round_trip_ms=DISTANCE_MS))

        full, empty = await database.create(), await database.create_empty()
        far_full, far_empty = await moved(full), await moved(empty)
        subjects = (
            switchyard("Switchyard", users=users, database_url=full, seen_url=far_full),
            bare("bare Starlette and asyncpg", users=users, database_url=empty, seen_url=far_empty),
        )
        doors = await entered(opened, subjects, only=only)
        yield doors, await round_trips_ms(far_empty)


def _figures(done: Batch) -> dict[str, float]:
    first_s = [each.first_s for each in done.took]
    return {
        "p50, ms": percentile_ms(first_s, 0.5),
        "p95, ms": percentile_ms(first_s, 0.95),
        "p99, ms": percentile_ms(first_s, 0.99),
        "server CPU a run, ms": done.server_cpu_s * 1000 / len(done.took),
    }
