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

    assert (answer["runs"], answer["keys"]) == (0, 1)
    assert await sql.connection.fetchval("select array_agg(key) from switchyard.request_keys") == ["young"]
    assert await sql.connection.fetchval("select count(*) from switchyard.blobs") == 0


async def test_a_purge_of_long_runs_takes_fewer_at_a_time(sql: Sql) -> None:
    user = await sql.user()
    for _ in range(3):
        claim = await sql.running(user)
        await sql.append(claim, chunks(2, *"abcdefghijklm"))
        await sql.finish(claim)
        await _age(sql, claim, days=31)

    answers = [await sql.call("runs_purge", keep_days=30, limit=3) for _ in range(3)]

    assert [answer["runs"] for answer in answers] == [2, 1, 0], "15 events each, 10 for each of the limit"
    assert [answer["more"] for answer in answers] == [True, True, False]


async def test_a_run_longer_than_a_batch_goes_piece_by_piece(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, *"abcdefghijklmnopqrstuvw"))
    await sql.finish(claim)
    await _age(sql, claim, days=31)

    left, answers = [], []
    for _ in range(4):
        answers.append(await sql.call("runs_purge", keep_days=30, limit=1))
        left.append(len(await sql.log(claim["run_id"])))

    assert left == [15, 5, 0, 0], "of 25 events, 10 a call"
    assert [answer["runs"] for answer in answers] == [0, 0, 1, 0]
    assert [answer["more"] for answer in answers] == [True, True, True, False]


async def test_two_purges_at_once_do_not_wait_for_each_other(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.finish(claim)
    await _age(sql, claim, days=31)

    async with sql.connection.transaction():
        first = await sql.connection.fetchval("select public.switchyard_runs_purge(30, 10)")
        second = await sql.call("runs_purge", keep_days=30, limit=10)

    assert (first["runs"], second["runs"], second["more"]) == (1, 0, False)


async def test_counters_of_users_who_have_not_come_for_a_day_go(sql: Sql) -> None:
    gone, here = await sql.user(), await sql.user()
    for user in (gone, here):
        await sql.call("limits_take", user_id=user)
    await sql.connection.execute(
        "update switchyard.rate_windows set window_start = window_start - interval '25 hours'"
        " where user_id = $1",
        gone,
    )

    await sql.call("runs_purge", keep_days=30, limit=10)

    left = await sql.connection.fetch("select distinct user_id from switchyard.rate_windows")
    assert [row["user_id"] for row in left] == [here]


async def test_of_revoked_keys_the_newest_hundred_are_kept(sql: Sql) -> None:
    user = await sql.user()
    for number in range(103):
        key = await sql.call(
            "keys_create", user_id=user, name=f"{number}", hash=f"{number:064x}", prefix="sk_123456789"
        )
        await sql.call("keys_revoke", user_id=user, key_id=key["id"])

    kept = await sql.call("keys_list", user_id=user)

    assert [key["name"] for key in kept] == [str(number) for number in range(102, 1, -1)]


async def _age(sql: Sql, claim: Claim, *, days: int) -> None:
    await sql.connection.execute(
        "update switchyard.runs set ended_at = clock_timestamp() - make_interval(days => $2) where id = $1",
        UUID(claim["run_id"]),
        days,
    )
