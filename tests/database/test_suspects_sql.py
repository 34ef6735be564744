"""Runs that the next loss of a worker would end: each is claimed by itself, lest it end others."""

from __future__ import annotations

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
    assert [each.get("is_suspect", False) for some in claims for each in some] == [True] * COUNT + [False] * COUNT


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
