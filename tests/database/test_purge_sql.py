"""Old runs go, with everything they left; money stays in the ledger."""

from __future__ import annotations

from uuid import UUID

from tests.support.sql import Claim, Sql, chunks


async def test_a_purge_removes_whole_runs_and_only_old_ones(sql: Sql) -> None:
    user = await sql.user()
    old, young, active = [await sql.running(user) for _ in range(3)]
    for claim in (old, young):
        await sql.append(claim, chunks(2, "a"))
        await sql.save(claim, "one", result_base64="eA==")
        await sql.finish(claim)
    await _age(sql, old, days=31)

    answer = await sql.call("runs_purge", keep_days=30, limit=10)

    assert answer["runs"] == 1
    for table, column in (("runs", "id"), ("events", "run_id"), ("steps", "run_id"), ("blobs", "run_id")):
        rows = await sql.connection.fetch(f"select distinct {column} as id from switchyard.{table}")  # noqa: S608
        left = {str(row["id"]) for row in rows}
        assert old["run_id"] not in left
        assert young["run_id"] in left
    assert (await sql.row(active["run_id"]))["status"] == "running"
    assert [kind for kind, _, _ in await sql.ledger(user)].count("settle") == 2


async def test_a_purge_takes_no_more_than_its_limit(sql: Sql) -> None:
    user = await sql.user()
    for _ in range(3):
        claim = await sql.running(user)
        await sql.finish(claim)
        await _age(sql, claim, days=31)

    removed = [(await sql.call("runs_purge", keep_days=30, limit=2))["runs"] for _ in range(3)]

    assert removed == [2, 1, 0]


async def test_a_purge_removes_keys_after_90_days_and_blobs_that_expired(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, key="old")
    await sql.queued(user, key="young")
    await sql.save(claim, "one", result_base64="eA==")
    await sql.connection.execute(
        "update switchyard.request_keys set created_at = clock_timestamp() - interval '91 days'"
        " where key = 'old'"
    )
    await sql.connection.execute("update switchyard.blobs set expires_at = clock_timestamp()")

    answer = await sql.call("runs_purge", keep_days=30, limit=10)

    assert answer == {"runs": 0, "keys": 1}
    assert await sql.connection.fetchval("select array_agg(key) from switchyard.request_keys") == ["young"]
    assert await sql.connection.fetchval("select count(*) from switchyard.blobs") == 0


async def _age(sql: Sql, claim: Claim, *, days: int) -> None:
    await sql.connection.execute(
        "update switchyard.runs set ended_at = clock_timestamp() - make_interval(days => $2) where id = $1",
        UUID(claim["run_id"]),
        days,
    )
