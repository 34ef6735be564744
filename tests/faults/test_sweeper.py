"""Runs that wait though somebody has room: their hints were lost, and they are told of once more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from foundation.hints import Queued
from heavy_agents.runs import Sweeper
from tests.support.database import DatabaseServer
from tests.support.hints import a_kind, holds, replica
from tests.support.nats import NatsServer, running_nats
from tests.support.process import free_port
from tests.support.sql import Sql, opened


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[NatsServer]:
    async with running_nats() as running:
        yield running


@pytest.fixture
async def sql(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server) as fresh:
        yield fresh


async def a_waiting_run(sql: Sql, kind: str, *, for_s: float = 2) -> UUID:
    agent = {"name": "a", "kind": kind, "price": {"flat": 1}}
    run_id = await sql.queued(await sql.user(), agent=agent)
    await wait(sql, run_id, seconds=for_s)
    return run_id


async def wait(sql: Sql, run_id: UUID, *, seconds: float) -> None:
    """As if it had waited so much longer."""
    await sql.connection.execute(
        "update switchyard.runs set queued_at = queued_at - $2 * interval '1 second' where id = $1",
        run_id,
        seconds,
    )


async def test_a_run_whose_hint_was_lost_is_told_of_again(server: NatsServer, sql: Sql) -> None:
    kind = a_kind()
    await a_waiting_run(sql, kind)
    async with replica(server.url, kinds=[kind], free=1) as worker:
        await Sweeper(sql.database, worker.hints, kinds=[kind]).sweep()

        await holds(lambda: worker.works == 1)


async def test_a_run_whose_hint_was_taken_by_one_who_died_is_told_of_again_and_again(
    server: NatsServer, sql: Sql
) -> None:
    kind = a_kind()
    run_id = await a_waiting_run(sql, kind)
    async with replica(server.url, kinds=[kind], free=1) as worker:
        sweeper = Sweeper(sql.database, worker.hints, kinds=[kind])
        worker.hints.queued([Queued(run_id, 0, kind)])
        await holds(lambda: worker.works == 1)

        await sweeper.sweep()
        await holds(lambda: worker.works == 2)
        await wait(sql, run_id, seconds=5)
        await sweeper.sweep()

        await holds(lambda: worker.works == 3)


async def test_what_two_replicas_find_at_about_the_same_time_is_told_once(
    server: NatsServer, sql: Sql
) -> None:
    kind, mark = a_kind(), a_kind()
    await a_waiting_run(sql, kind, for_s=1000.5)
    async with (
        replica(server.url, kinds=[kind, mark], free=9) as worker,
        replica(server.url) as one,
        replica(server.url) as other,
    ):
        await Sweeper(sql.database, one.hints, kinds=[kind]).sweep()
        await holds(lambda: worker.works == 1)

        await Sweeper(sql.database, other.hints, kinds=[kind]).sweep()
        await Sweeper(sql.database, worker.hints, kinds=[kind]).sweep()
        await other.hints.drain()
        await worker.hints.drain()
        async with server.client() as client:
            state = (await client.jetstream().stream_info("SWITCHYARD_RUNS")).state

        assert (worker.works, state.messages) == (1, 0)


async def test_a_run_that_has_just_come_is_not_told_of_again(server: NatsServer, sql: Sql) -> None:
    kind = a_kind()
    young = await a_waiting_run(sql, kind, for_s=-60)
    async with replica(server.url, kinds=[kind], free=9) as worker:
        sweeper = Sweeper(sql.database, worker.hints, kinds=[kind])
        await sweeper.sweep()
        await worker.hints.drain()
        assert worker.works == 0

        await wait(sql, young, seconds=62)
        await sweeper.sweep()
        await holds(lambda: worker.works == 1)


async def test_while_nobody_hears_the_database_is_not_asked(sql: Sql) -> None:
    kind = a_kind()
    await a_waiting_run(sql, kind)
    async with replica(f"nats://127.0.0.1:{free_port()}", kinds=[kind], free=1, is_heard=False) as worker:
        await Sweeper(sql.database, worker.hints, kinds=[kind]).sweep()

        assert worker.figure("dropped_total") == 0
