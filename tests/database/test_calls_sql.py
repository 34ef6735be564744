"""Calls of a model: written down before they are made, so that those a crash cut off are counted."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from tests.support.sql import Claim, Sql


async def test_a_call_is_written_down_once_however_often_it_is_told(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    answers = [await _begin(sql, claim, "call-1", "turn 1") for _ in range(3)]

    assert answers == [True] * 3
    assert await _calls(sql) == [("call-1", claim["run_id"], "turn 1", 1)]


@pytest.mark.parametrize("state", ["another token", "released", "requeued", "ended"])
async def test_without_the_live_lease_nothing_is_written(sql: Sql, state: str) -> None:
    claim = await sql.running(await sql.user())
    match state:
        case "released":
            await sql.release(claim)
        case "requeued":
            await sql.expire(claim["run_id"])
            await sql.reap()
        case "ended":
            await sql.finish(claim)
        case _:
            claim = claim | {"token": str(uuid4())}

    assert await _begin(sql, claim, "call-1", "turn 1") is False
    assert await _calls(sql) == []


async def test_a_call_waits_for_whoever_takes_the_run_over_and_is_then_refused(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    async with sql.connection.transaction():
        await sql.connection.execute(
            "update switchyard.runs set lease_token = gen_random_uuid() where id = $1", UUID(claim["run_id"])
        )
        beginning = asyncio.create_task(_begin(sql, claim, "call-1", "turn 1"))
        await _waits(sql)

    assert await beginning is False
    assert await _calls(sql) == []


async def test_calls_of_one_run_do_not_wait_for_each_other(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    async with sql.connection.transaction():
        await sql.connection.execute(
            "select public.switchyard_calls_begin($1, $2, 'call-1', 'turn 1')",
            UUID(claim["run_id"]),
            UUID(claim["token"]),
        )
        assert await asyncio.wait_for(_begin(sql, claim, "call-2", "turn 2"), 10)

    assert [call[0] for call in await _calls(sql)] == ["call-1", "call-2"]


async def test_a_lost_call_is_counted_by_the_next_claim_and_by_no_other(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await _begin(sql, claim, "call-1", "turn 1")

    counted = [claim["lost_calls"]]
    for _ in range(2):
        claim = await _again(sql, claim)
        counted.append(claim["lost_calls"])

    assert counted == [0, 1, 0]


async def test_a_step_that_is_lost_twice_is_counted_twice(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    counted = []
    for number in range(2):
        await _begin(sql, claim, f"call-{number}", "turn 1")
        claim = await _again(sql, claim)
        counted.append(claim["lost_calls"])

    assert counted == [1, 1]


async def test_steps_are_counted_and_not_their_tries_and_a_journaled_one_is_not_lost(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    for number, step in enumerate(["kept", "tried", "tried", "lost"]):
        await _begin(sql, claim, f"call-{number}", step)
    await sql.save(claim, "kept", {"modelCall": "call-0"})

    assert (await _again(sql, claim))["lost_calls"] == 2


async def test_a_call_cut_off_by_a_shutdown_is_lost_too(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await _begin(sql, claim, "call-1", "turn 1")
    await sql.release(claim)

    (claim,) = await sql.claim("w2")

    assert claim["lost_calls"] == 1


async def test_calls_of_other_runs_are_not_counted(sql: Sql) -> None:
    user = await sql.user()
    claim, other = await sql.running(user), await sql.running(user)
    await _begin(sql, other, "call-1", "turn 1")

    assert (await _again(sql, claim))["lost_calls"] == 0


async def test_calls_go_with_their_run(sql: Sql) -> None:
    user = await sql.user()
    old, young = await sql.running(user), await sql.running(user)
    for number, claim in enumerate([old, young]):
        await _begin(sql, claim, f"call-{number}", "turn 1")
    await sql.finish(old)

    await sql.call("runs_purge", keep_days=0, limit=10)

    assert [call[1] for call in await _calls(sql)] == [young["run_id"]]


@pytest.mark.parametrize(
    "result", [["modelCall"], "modelCall", {"modelCall": None}, None, {"call": "call-0"}]
)
async def test_a_result_that_names_no_call_is_no_matter_of_the_audit(sql: Sql, result: object) -> None:
    claim = await sql.running(await sql.user())

    await sql.save(claim, "one", result)  # type: ignore[arg-type]  # a JSON value, written above

    assert await sql.audit() == []


async def _begin(sql: Sql, claim: Claim, call: str, step: str) -> bool:
    answer = await sql.call("calls_begin", run_id=claim["run_id"], token=claim["token"], id=call, step=step)
    return bool(answer["begun"])


async def _calls(sql: Sql) -> list[tuple[str, str, str, int]]:
    rows = await sql.connection.fetch("select id, run_id, step, epoch from switchyard.calls order by id")
    return [(row["id"], str(row["run_id"]), row["step"], row["epoch"]) for row in rows]


async def _again(sql: Sql, claim: Claim) -> Claim:
    """The same run, lost and claimed by another worker."""
    await sql.expire(claim["run_id"])
    await sql.reap()
    (again,) = await sql.claim("w2")
    return again


async def _waits(sql: Sql) -> None:
    """Until somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await sql.connection.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.005)
