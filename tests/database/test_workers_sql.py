"""Which processes there are, and which of them did not leave when they had said they would."""

from __future__ import annotations

import asyncio

from tests.support.sql import Sql


async def age(sql: Sql, worker: str, interval: str) -> None:
    """Let so much time go by since a process was last seen, and since it promised to be gone."""
    await sql.connection.execute(
        "update switchyard.workers set seen_at = seen_at - $2::text::interval,"
        " gone_by = gone_by - $2::text::interval where worker = $1",
        worker,
        interval,
    )


async def test_a_front_door_learns_what_all_workers_can_take(sql: Sql) -> None:
    await sql.call("workers_seen", worker="first", slots=32)
    await sql.call("workers_seen", worker="second", slots=8)

    heard = await sql.call("workers_seen", worker="door", slots=0)

    assert heard == {"slots": 40, "active": 0, "overdue": []}


async def test_a_worker_that_goes_or_is_silent_takes_nothing_any_more(sql: Sql) -> None:
    for worker in ("goes", "silent", "stays"):
        await sql.call("workers_seen", worker=worker, slots=4)
    await sql.call("workers_drain", worker="goes", within_s=25.0)
    await age(sql, "silent", "11 seconds")

    assert (await sql.call("workers_seen", worker="stays", slots=4))["slots"] == 4


async def test_a_process_that_leaves_in_time_leaves_no_trace(sql: Sql) -> None:
    await sql.call("workers_seen", worker="goes", slots=4)
    await sql.call("workers_drain", worker="goes", within_s=3.0)

    assert await sql.call("workers_leave", worker="goes") == {"left": True}
    assert await sql.connection.fetchval("select count(*) from switchyard.workers") == 0
    assert await sql.call("workers_leave", worker="goes") == {"left": False}


async def test_a_process_that_did_not_leave_in_time_is_found_once(sql: Sql) -> None:
    await sql.call("workers_seen", worker="late", slots=4)
    await sql.call("workers_drain", worker="late", within_s=3.0)
    assert (await sql.call("workers_seen", worker="other", slots=4))["overdue"] == []
    await age(sql, "late", "5 seconds")

    heard = await asyncio.gather(
        *(sql.call("workers_seen", worker=f"other {number}", slots=4) for number in range(8))
    )

    assert sorted(worker for each in heard for worker in each["overdue"]) == ["late"]


async def test_the_first_announcement_counts(sql: Sql) -> None:
    await sql.call("workers_seen", worker="late", slots=4)
    assert await sql.call("workers_drain", worker="late", within_s=3.0) == {"told": True}
    assert await sql.call("workers_drain", worker="late", within_s=600.0) == {"told": False}
    await sql.call("workers_seen", worker="late", slots=4)
    await age(sql, "late", "5 seconds")

    assert (await sql.call("workers_seen", worker="other", slots=4))["overdue"] == ["late"]


async def test_a_process_that_just_died_is_forgotten_and_is_no_overrun(sql: Sql) -> None:
    await sql.call("workers_seen", worker="died", slots=4)
    await age(sql, "died", "2 hours")

    assert (await sql.call("workers_seen", worker="other", slots=4))["overdue"] == []
    assert await sql.connection.fetchval("select array_agg(worker) from switchyard.workers") == ["other"]
