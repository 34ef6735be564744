"""The log of a run: appended under a lease, numbered without a gap, read by its owner."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from foundation.errors import BadCursor, Gap, InternalError, InvalidRequest, Json, RunNotFound
from tests.support.sql import Claim, Sql, chunks


def entry(claim: Claim, events: list[Json]) -> Json:
    return {"run_id": claim["run_id"], "token": claim["token"], "events": events}


async def test_events_are_appended_in_order(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)

    lost = await sql.append(claim, chunks(2, "a", "b"))
    lost += await sql.append(claim, chunks(4, "c"))

    page = await sql.read(user, claim["run_id"])
    assert lost == []
    assert [(each["seq"], each["type"]) for each in page["events"]] == [
        (1, "started"),
        (2, "chunk"),
        (3, "chunk"),
        (4, "chunk"),
    ]
    assert [each["data"] for each in page["events"][1:]] == [{"content": text} for text in "abc"]


async def test_one_statement_appends_to_many_runs_and_names_those_that_are_lost(sql: Sql) -> None:
    user = await sql.user()
    one, two, gone = [await sql.running(user) for _ in range(3)]
    stale = gone | {"token": str(uuid4())}

    answer = await sql.call(
        "events_append",
        batch=[entry(two, chunks(2, "b")), entry(stale, chunks(2, "x")), entry(one, chunks(2, "a", "b"))],
    )

    assert answer == {"lost": [gone["run_id"]], "busy": []}
    assert [len(await sql.log(claim["run_id"])) for claim in (one, two, gone)] == [3, 2, 1]


async def test_an_empty_batch_is_nothing(sql: Sql) -> None:
    assert await sql.call("events_append", batch=[]) == {"lost": [], "busy": []}


async def test_a_repeated_flush_is_harmless(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, "a", "b"))

    await sql.append(claim, chunks(2, "a", "b"))
    await sql.append(claim, chunks(3, "other", "c"))

    page = await sql.read(user, claim["run_id"], after=1)
    assert [each["data"]["content"] for each in page["events"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "events",
    [chunks(3, "a"), [*chunks(2, "a"), *chunks(4, "b")], [*chunks(2, "a"), *chunks(2, "b")]],
    ids=["behind a gap", "around a gap", "twice"],
)
async def test_a_wrong_number_fails_the_flush_and_writes_nothing(sql: Sql, events: list[Json]) -> None:
    user = await sql.user()
    claim, neighbour = await sql.running(user), await sql.running(user)

    with pytest.raises(InternalError):
        await sql.call("events_append", batch=[entry(neighbour, chunks(2, "a")), entry(claim, events)])

    assert await sql.log(claim["run_id"]) == [(1, "started")]
    assert await sql.log(neighbour["run_id"]) == [(1, "started")]


@pytest.mark.parametrize("type_", ["done", "failed", "cancelled"])
async def test_only_the_end_of_a_run_writes_a_terminal_event(sql: Sql, type_: str) -> None:
    claim = await sql.running(await sql.user())
    forged: list[Json] = [{"seq": 2, "type": type_, "data": {}}]

    with pytest.raises(InternalError):
        await sql.append(claim, forged)
    with pytest.raises(InternalError):
        await sql.release(claim, forged)
    with pytest.raises(InternalError):
        await sql.finish(claim, events=forged)

    assert await sql.log(claim["run_id"]) == [(1, "started")]


async def test_text_that_cannot_be_kept_fails_the_flush(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    with pytest.raises(InvalidRequest):
        await sql.append(claim, chunks(2, "a\x00b"))

    assert await sql.append(claim, chunks(2, "ab")) == []


async def test_nothing_is_appended_after_the_end(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.finish(claim)

    assert await sql.append(claim, chunks(3, "late")) == [claim["run_id"]]
    assert await sql.log(claim["run_id"]) == [(1, "started"), (2, "done")]


async def test_a_page_ends_with_the_event_that_fills_it(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, "a" * 500, "b" * 500, "c" * 5000, "d"))

    pages = [
        [each["seq"] for each in (await sql.read(user, claim["run_id"], after=after, bytes_=600))["events"]]
        for after in (1, 3, 4)
    ]

    assert pages == [[2, 3], [4], [5]]


async def test_a_page_begins_after_a_number_and_has_a_limit(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, "a", "b", "c"))

    page = await sql.read(user, claim["run_id"], after=1, limit=2)
    rest = await sql.read(user, claim["run_id"], after=4)

    assert [each["seq"] for each in page["events"]] == [2, 3]
    assert (page["status"], page["latest"], page["is_terminal"]) == ("running", 4, False)
    assert (rest["events"], rest["latest"]) == ([], 4)


async def test_the_last_page_says_that_it_is_the_last(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.finish(claim)

    page = await sql.read(user, claim["run_id"], after=2)

    assert (page["status"], page["latest"], page["is_terminal"], page["events"]) == ("succeeded", 2, True, [])


async def test_a_number_no_event_has_yet_is_refused(sql: Sql) -> None:
    user = await sql.user()
    run_id = await sql.queued(user)

    with pytest.raises(BadCursor, match="after 2 is in the future; the newest event is 1"):
        await sql.read(user, run_id, after=2)


async def test_a_page_ends_before_a_hole_and_the_next_one_says_where_the_log_goes_on(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, *"abcdef"))
    await sql.thin_out(claim["run_id"], first=3, last=5)

    before = await sql.read(user, claim["run_id"])
    after = await sql.read(user, claim["run_id"], after=5)

    assert [each["seq"] for each in before["events"]] == [1, 2]
    assert [each["seq"] for each in after["events"]] == [6, 7]
    for inside in (2, 3, 4):
        with pytest.raises(Gap) as refused:
            await sql.read(user, claim["run_id"], after=inside)
        assert (refused.value.oldest, refused.value.latest) == (6, 7)
    await sql.forget(claim["run_id"])


async def test_a_log_without_its_end_goes_on_after_the_newest_number(sql: Sql) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, "a", "b"))
    await sql.thin_out(claim["run_id"], first=1, last=3)

    with pytest.raises(Gap) as refused:
        await sql.read(user, claim["run_id"])

    assert (refused.value.oldest, refused.value.latest) == (4, 3)
    assert (await sql.read(user, claim["run_id"], after=3))["events"] == []
    await sql.forget(claim["run_id"])


async def test_somebody_elses_events_are_as_unknown_as_none(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    run_id = await sql.queued(user)

    for stranger, unknown in ((other, run_id), (user, uuid4())):
        with pytest.raises(RunNotFound, match="no such run, or it is not yours"):
            await sql.read(stranger, unknown)


async def test_the_tail_answers_only_runs_that_have_something_new(sql: Sql) -> None:
    user = await sql.user()
    moved, still = await sql.running(user), await sql.running(user)
    await sql.append(moved, chunks(2, "a", "b", "c"))

    tail = await sql.call(
        "events_tail",
        cursors=[
            {"run_id": moved["run_id"], "after": 1},
            {"run_id": still["run_id"], "after": 1},
            {"run_id": str(uuid4()), "after": 0},
        ],
        limit=2,
    )

    assert [(each["run_id"], [event["seq"] for event in each["events"]]) for each in tail] == [
        (moved["run_id"], [2, 3])
    ]


async def test_a_row_somebody_else_has_locked_is_busy_and_sent_again(sql: Sql) -> None:
    user = await sql.user()
    free, locked = await sql.running(user), await sql.running(user)
    batch: list[Json] = [
        {"run_id": claim["run_id"], "token": claim["token"], "events": chunks(2, "a")}
        for claim in (free, locked)
    ]

    async with sql.connection.transaction():
        await sql.connection.execute(
            "select from switchyard.runs where id = $1 for update", UUID(locked["run_id"])
        )
        during = await sql.call("events_append", batch=batch)
    after = await sql.call("events_append", batch=batch)

    assert during == {"lost": [], "busy": [locked["run_id"]]}
    assert after == {"lost": [], "busy": []}
    assert (await sql.row(locked["run_id"]))["last_seq"] == 2
