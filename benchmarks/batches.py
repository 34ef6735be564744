"""A number of short runs asked of one server: how long each took, and what they cost whom in CPU."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import psutil

from benchmarks.client import Client, Took
from benchmarks.server import Served

__all__ = ["Batch", "Postgres", "batch", "percentile_ms"]


@dataclass(frozen=True, slots=True)
class Batch:
    took: Sequence[Took]
    wall_s: float
    server_cpu_s: float
    postgres_cpu_s: float


class Postgres:
    """All processes of a Postgres server on this machine."""

    def __init__(self, postmaster: psutil.Process) -> None:
        self._postmaster = postmaster

    @classmethod
    async def of(cls, database_url: str) -> Postgres:
        connection = await asyncpg.connect(database_url)
        try:
            backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
            postmaster = backend.parent()
        finally:
            await connection.close()
        assert postmaster is not None  # noqa: S101 - it has started the backend
        return cls(postmaster)

    def cpu_now_s(self) -> float:
        """CPU seconds so far, also of processes that have ended."""
        own = self._postmaster.cpu_times()
        alive = [each.cpu_times() for each in self._postmaster.children()]
        ended_s = own.children_user + own.children_system
        return float(own.user + own.system + ended_s + sum(each.user + each.system for each in alive))


async def batch(
    served: Served,
    clients: Sequence[Client],
    ask: Callable[[], bytes],
    *,
    runs: int,
    postgres: Postgres,
) -> Batch:
    """`runs` runs, as many at once as there are clients."""
    left = iter(range(runs))
    took: list[Took] = []

    async def one_after_the_other(client: Client) -> None:
        for _ in left:
            took.append(await client.run(ask()))  # noqa: PERF401 - the clients share the numbers

    cpu_s, postgres_s, began_s = served.cpu_now_s(), postgres.cpu_now_s(), time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(one_after_the_other(client))
    wall_s = time.perf_counter() - began_s
    return Batch(took, wall_s, served.cpu_now_s() - cpu_s, postgres.cpu_now_s() - postgres_s)


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """The smallest of them that so large a share of them does not exceed."""
    place = max(-(-len(seconds) * share // 1) - 1, 0)
    return sorted(seconds)[int(place)] * 1000
