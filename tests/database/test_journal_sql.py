"""What a run leaves behind: steps, files, receipts, and what its owner may read of it."""

from __future__ import annotations

import base64
from uuid import UUID, uuid4

import pytest

from foundation.errors import ArtifactNotFound, RunNotFound, WrongCaller
from tests.support.sql import Claim, Sql

CONTENT = bytes(range(256))
FILE = base64.b64encode(CONTENT).decode()


async def test_a_step_is_journaled_once_and_the_first_result_stays(sql: Sql) -> None:
    claim = await sql.running(await sql.user(), hold=5)

    saved = [
        await sql.save(claim, "one", {"n": 1}, accrued=2, usage={"modelCalls": 1}),
        await sql.save(claim, "one", {"n": 2}, accrued=4, usage={"modelCalls": 9}),
    ]

    row = await sql.row(claim["run_id"])
    assert saved == [True, True]
    assert (row["accrued_credits"], row["usage"]) == (2, {"modelCalls": 1})
    assert (await _again(sql, claim))["steps"] == [
        {"name": "one", "result": {"n": 1}, "blob": None, "is_here": True}
    ]


async def test_a_result_that_is_null_is_a_result(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    await sql.save(claim, "one", None)

    assert (await _again(sql, claim))["steps"] == [
        {"name": "one", "result": None, "blob": None, "is_here": True}
    ]


async def test_a_new_step_clears_the_attempts_and_a_repeated_one_does_not(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.save(claim, "one")
    journaled = (await sql.row(claim["run_id"]))["attempts"]

    claim = await _again(sql, claim)
    await sql.save(claim, "one")

    assert (journaled, (await sql.row(claim["run_id"]))["attempts"]) == (0, 1)


async def test_a_large_result_is_kept_aside(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    await sql.save(claim, "one", result_base64=FILE)

    found = await sql.call("blobs_read", run_id=claim["run_id"], purpose="step", name="one")
    assert (found["media_type"], base64.b64decode(found["base64"])) == ("application/json", CONTENT)
    assert (await _again(sql, claim))["steps"] == [
        {"name": "one", "result": None, "blob": "one", "is_here": True}
    ]


async def test_an_artifact_is_replaced_by_its_name_and_read_by_its_owner(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    answers = [await _write(sql, claim, "a.txt", "aGk="), await _write(sql, claim, "a.txt", FILE)]

    found = await sql.call("artifacts_get", user_id=user, run_id=claim["run_id"], name="a.txt")
    run = await sql.call("runs_get", user_id=user, run_id=claim["run_id"])
    assert answers == [{"written": True}] * 2
    assert (found["media_type"], base64.b64decode(found["base64"])) == ("text/plain", CONTENT)
    assert run["artifacts"] == [{"name": "a.txt", "media_type": "text/plain", "size_bytes": 256}]


async def test_a_stale_token_writes_no_artifact_and_no_step(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    stale = claim | {"token": str(uuid4())}

    assert await _write(sql, stale, "a.txt", FILE) == {"written": False}
    assert not await sql.save(stale, "one", result_base64=FILE)
    assert await sql.connection.fetchval("select count(*) from switchyard.blobs") == 0


async def test_somebody_elses_run_file_and_receipt_are_as_unknown_as_none(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    claim = await sql.running(user)
    await _write(sql, claim, "a.txt", FILE)

    for stranger, unknown in ((other, UUID(claim["run_id"])), (user, uuid4())):
        for function in ("runs_get", "runs_receipt"):
            with pytest.raises(RunNotFound):
                await sql.call(function, user_id=stranger, run_id=unknown)
        with pytest.raises(RunNotFound):
            await sql.call("artifacts_get", user_id=stranger, run_id=unknown, name="a.txt")


@pytest.mark.parametrize("name", ["unknown.txt", "one"])
async def test_a_file_the_run_did_not_make_is_unknown(sql: Sql, name: str) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.save(claim, "one", result_base64=FILE)

    with pytest.raises(ArtifactNotFound):
        await sql.call("artifacts_get", user_id=user, run_id=claim["run_id"], name=name)


async def test_a_missing_blob_reads_as_null(sql: Sql) -> None:
    assert await sql.call("blobs_read", run_id=uuid4(), purpose="input", name="input.json") is None


async def test_runs_are_listed_newest_first_and_page_by_page(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    runs = [str(await sql.queued(user, run_id=UUID(int=number))) for number in range(3)]
    await sql.queued(other)

    page = await sql.call("runs_list", user_id=user, before=None, limit=2)
    rest = await sql.call("runs_list", user_id=user, before=page[-1]["run_id"], limit=2)

    assert [run["run_id"] for run in page + rest] == runs[::-1]
    assert "response" not in page[0]
    assert "output" not in page[0]


async def test_a_receipt_shows_holds_charges_steps_and_attempts(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user, hold=5)
    await sql.save(claim, "one", {"n": 1}, accrued=2, usage={"modelCalls": 1})
    claim = await _again(sql, claim)
    await sql.finish(claim, charge=3)

    receipt = await sql.call("runs_receipt", user_id=user, run_id=claim["run_id"])

    (step,) = receipt["steps"]
    entries = [(each["kind"], each["credits"], each["held"]) for each in receipt["entries"]]
    assert (receipt["held"], receipt["charged"], receipt["attempts"]) == (5, 3, 2)
    assert (receipt["status"], receipt["price"]) == ("succeeded", {"flat": 1})
    assert entries == [("hold", 0, 5), ("settle", 3, -5)]
    assert (step["name"], step["attempt"], step["usage"]) == ("one", 1, {"modelCalls": 1})


async def test_a_charged_run_is_shown_in_the_apps_own_usage(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    charged = await sql.running(user, hold=5, agent_id=agent)
    free, counted = await sql.running(user), await sql.running(user, credits_owner="caller")

    await sql.finish(charged, charge=3)
    await sql.finish(free, charge=0)
    await sql.finish(counted, charge=2)

    rows = await sql.connection.fetch(
        "select agent_id, credits_used, metadata from public.credit_usage order by created_at"
    )
    assert [(row["agent_id"], row["credits_used"]) for row in rows] == [(agent, 3), (None, 2)]
    assert rows[0]["metadata"]["run_id"] == charged["run_id"]


async def test_admin_figures_are_for_admins_and_the_service(sql: Sql) -> None:
    admin, user = await sql.user(), await sql.user()
    await sql.connection.execute("insert into public.user_roles (user_id, role) values ($1, 'admin')", admin)
    await sql.agent(user, is_published=True)
    await sql.finish(await sql.running(user, hold=3), charge=2)
    await sql.queued(user)

    answers = [await sql.database.call("get_admin_stats", user_id=each) for each in (None, admin)]
    with pytest.raises(WrongCaller):
        await sql.database.call("get_admin_stats", user_id=user)

    assert answers[0] == answers[1]
    assert answers[0] == {
        "totalUsers": 2,
        "totalAgents": 1,
        "publishedAgents": 1,
        "heavyAgents": 0,
        "runsToday": 2,
        "creditsUsedToday": 2,
        "activeRuns": 1,
    }


async def test_roles_are_told_apart(sql: Sql) -> None:
    admin = await sql.user()
    await sql.connection.execute("insert into public.user_roles (user_id, role) values ($1, 'admin')", admin)

    asked = [("admin", admin), ("moderator", admin), ("admin", uuid4())]
    answers = [await sql.database.call("has_role", user_id=user, role=role) for role, user in asked]

    assert answers == [True, False, False]


async def _again(sql: Sql, claim: Claim) -> Claim:
    """The same run, lost and claimed by another worker."""
    await sql.expire(claim["run_id"])
    await sql.reap()
    (again,) = await sql.claim("w2")
    return again


async def _write(sql: Sql, claim: Claim, name: str, content: str) -> Claim:
    answer: Claim = await sql.call(
        "blobs_write",
        run_id=claim["run_id"],
        token=claim["token"],
        name=name,
        media_type="text/plain",
        base64=content,
    )
    return answer


async def test_a_long_journal_comes_in_part_and_the_rest_is_read_one_by_one(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    for number in range(6):
        await sql.save(claim, f"step {number}", result="x" * 900_000)

    steps = (await _again(sql, claim))["steps"]

    assert [step["is_here"] for step in steps] == [True] * 4 + [False] * 2
    assert steps[-1]["result"] is None
    rest = await sql.call("steps_read", run_id=claim["run_id"], name="step 5")
    assert rest == {"result": "x" * 900_000}


async def test_the_usage_of_a_run_is_the_sum_of_its_journal_whatever_came_last(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.save(claim, "late", usage={"modelCalls": 1, "outputTokens": 7}, accrued=4)
    await sql.save(claim, "early", usage={"modelCalls": 1}, accrued=2)

    row = await sql.row(claim["run_id"])

    assert row["usage"] == {"modelCalls": 2, "outputTokens": 7}
    assert row["accrued_credits"] == 4
