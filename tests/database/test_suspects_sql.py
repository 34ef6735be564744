"""Runs that the next loss of a worker would end: each is claimed by itself, lest it end others."""

from __future__ import annotations

import pytest

from tests.support.sql import Claim, Sql

COUNT = 4


async def lose_all(sql: Sql, worker: str) -> None:
    """The worker claims what it may, and dies."""
    for claim in await sql.claim(worker, limit=10):
        await sql.expire(claim["run_id"])
    await sql.reap()


async def lost_twice(sql: Sql) -> list[str]:
    """Queued runs that the next loss would end."""
    user = await sql.user()
    runs = [str(await sql.queued(user)) for _ in range(COUNT)]
    for worker in ("dies", "dies too"):
        await lose_all(sql, worker)
    return runs


def ids(claims: list[Claim]) -> list[str]:
    return [claim["run_id"] for claim in claims]


async def test_a_run_that_the_next_loss_would_end_is_claimed_alone(sql: Sql) -> None:
    runs = await lost_twice(sql)
    fresh = [str(await sql.queued(await sql.user())) for _ in range(COUNT)]

    claims = [await sql.claim(f"w{number}", limit=10) for number in range(COUNT + 1)]

    assert [ids(each) for each in claims] == [*([run_id] for run_id in runs), fresh]
    suspected = [each.get("is_suspect", False) for some in claims for each in some]
    assert suspected == [True] * COUNT + [False] * COUNT


async def lost(sql: Sql, times: int) -> str:
    """A queued run that has lost so many workers in a row."""
    run_id = str(await sql.queued(await sql.user()))
    for _ in range(times):
        (claim,) = await sql.claim(f"alone {run_id}", limit=1)
        assert claim["run_id"] == run_id
        await sql.expire(run_id)
        await sql.reap()
    return run_id


@pytest.mark.parametrize(
    ("held", "waits", "are_together"),
    [(0, 2, True), (1, 1, True), (1, 2, False), (2, 0, True), (2, 1, False), (2, 2, False)],
)
async def test_two_runs_are_kept_apart_that_have_lost_three_workers_together(
    sql: Sql, held: int, waits: int, *, are_together: bool
) -> None:
    there = await lost(sql, held)
    assert ids(await sql.claim("w", limit=1)) == [there]
    comes = await lost(sql, waits)
    fresh = str(await sql.queued(await sql.user()))

    claimed = ids(await sql.claim("w", limit=1))
    elsewhere = ids(await sql.claim("other", limit=1))

    assert (claimed, elsewhere) == (([comes], [fresh]) if are_together else ([fresh], [comes]))


@pytest.mark.parametrize("shows", ["a step", "time"])
async def test_a_run_that_harms_nobody_is_joined_by_others_that_were_lost(sql: Sql, shows: str) -> None:
    there = await lost(sql, 2)
    (claim,) = await sql.claim("w", limit=1)
    comes = await lost(sql, 2)
    assert await sql.claim("w", limit=1) == []

    if shows == "a step":
        await sql.save(claim, "a step")
    else:
        await sql.connection.execute(
            "update switchyard.runs set counted_from = counted_from - interval '15 s'"
            " where id = $1::text::uuid",
            there,
        )

    assert ids(await sql.claim("w", limit=1)) == [comes]


async def test_a_run_that_kills_every_worker_ends_none_of_those_that_were_lost_with_it(sql: Sql) -> None:
    killer, *others = await lost_twice(sql)

    await lose_all(sql, "dies as well")

    statuses = [(await sql.row(run_id))["status"] for run_id in (killer, *others)]
    assert statuses == ["failed"] + ["queued"] * len(others)


async def test_a_run_that_has_journaled_a_step_since_is_claimed_with_others(sql: Sql) -> None:
    runs = await lost_twice(sql)
    for run_id in runs:
        (claim,) = await sql.claim("lives", limit=10)
        assert claim["run_id"] == run_id
        await sql.save(claim, "a step")
        await sql.expire(run_id)
    await sql.reap()

    assert ids(await sql.claim(limit=10)) == runs
