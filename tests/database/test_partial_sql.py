"""What a run that was cut short has said: the text its clients were shown, and nothing a retry took back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.errors import Json
from tests.support.sql import Claim, Sql, chunks

MOST_CHARACTERS = 1_000_000

# Any: an event as the log keeps it.
Event = dict[str, Any]

STEPS = st.sampled_from(["one", "two"])
EVENTS = st.one_of(
    st.builds(
        lambda content, step: {
            "type": "chunk",
            "data": {"content": content, **({"step": step} if step else {})},
        },
        st.text("abc", max_size=2),
        st.none() | STEPS,
    ),
    st.builds(
        lambda step, after: {"type": "retry", "data": {"step": step, "discardAfter": after}},
        STEPS,
        st.integers(0, 8) | st.sampled_from(["3", None, 2.5, True]),
    ),
    st.just({"type": "progress", "data": {"content": "no text", "step": "one"}}),
)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_run_cut_short_answers_what_it_had_said(sql: Sql, status: str) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    await sql.append(claim, chunks(2, "Once ", "upon"))

    ended = await sql.finish(claim, status, response=None, events=chunks(4, " a time"))

    run = await sql.call("runs_get", user_id=user, run_id=claim["run_id"])
    assert ended["event"]["data"]["response"] == "Once upon a time"
    assert (run["status"], run["response"]) == (status, "Once upon a time")


@pytest.mark.parametrize(
    ("status", "response"), [("failed", "better"), ("failed", ""), ("succeeded", None), ("succeeded", "all")]
)
async def test_an_answer_that_is_given_counts_and_a_success_is_as_it_says(
    sql: Sql, status: str, response: str | None
) -> None:
    claim = await sql.running(await sql.user())
    await sql.append(claim, chunks(2, "text"))

    ended = await sql.finish(claim, status, response=response)

    assert (ended["run"]["response"], ended["event"]["data"]["response"]) == (response, response)


async def test_a_run_that_said_nothing_answers_nothing(sql: Sql) -> None:
    claim = await sql.running(await sql.user())

    ended = await sql.finish(claim, "failed", response=None, events=chunks(2, ""))

    assert (ended["run"]["response"], ended["event"]["data"]["response"]) == (None, None)


async def test_what_a_retry_took_back_is_not_answered(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    said = [
        *chunks(2, "kept ", step="one"),
        *chunks(3, "wrong", "er", step="two"),
        *chunks(5, "other ", step="three"),
        _event(6, "retry", step="two", attempt=2, discardAfter=2),
        *chunks(7, "right", step="two"),
    ]

    ended = await sql.finish(claim, "failed", response=None, events=said)

    assert ended["run"]["response"] == "kept other right"


@pytest.mark.parametrize("after", ["three", None, [2], 1e300])
async def test_a_retry_that_makes_no_sense_keeps_no_run_from_ending(sql: Sql, after: Json) -> None:
    claim = await sql.running(await sql.user())
    said = [*chunks(2, "text", step="one"), _event(3, "retry", step="one", discardAfter=after)]

    ended = await sql.finish(claim, "failed", response=None, events=said)

    assert ended["run"]["response"] == "text"


@pytest.mark.parametrize("way", ["cancelled while queued", "cancelled", "poison", "deadline_exceeded"])
async def test_every_way_to_an_end_without_a_worker_keeps_the_text(sql: Sql, way: str) -> None:
    user = await sql.user()
    claim = await sql.running(user)
    run_id = claim["run_id"]
    await sql.append(claim, chunks(2, "so far"))
    match way:
        case "cancelled while queued":
            await sql.release(claim)
            await sql.cancel(user, run_id)
        case "cancelled":
            await sql.cancel(user, run_id)
            await _reap(sql, run_id)
        case "poison":
            await _set(sql, run_id, "attempts = 3")
            assert await _reap(sql, run_id) == way
        case _:
            await _set(sql, run_id, "deadline_at = clock_timestamp() - interval '1 s'")
            assert await _reap(sql, run_id) == way

    page = await sql.read(user, run_id)
    assert (await sql.row(run_id))["response"] == "so far"
    assert page["events"][-1]["data"]["response"] == "so far"


async def test_a_run_that_waited_too_long_keeps_the_text_of_its_earlier_claim(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.release(claim, chunks(2, "so far"))
    await _set(sql, claim["run_id"], "queue_deadline_at = clock_timestamp() - interval '1 s'")

    await sql.reap()

    assert (await sql.row(claim["run_id"]))["response"] == "so far"


async def test_a_very_long_text_is_cut_at_its_end(sql: Sql) -> None:
    claim = await sql.running(await sql.user())
    await sql.append(claim, chunks(2, *("ß" * 300_000 for _ in range(4))))

    ended = await sql.finish(claim, "failed", response=None, events=chunks(6, "z"))

    assert ended["run"]["response"] == "ß" * MOST_CHARACTERS


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=10))
async def test_the_text_is_what_a_client_that_follows_would_show(shared: Sql, said: list[Event]) -> None:
    events = [{"seq": seq, **event} for seq, event in enumerate(said, 2)]
    claim = await shared.running(await shared.user())

    ended = await shared.finish(claim, "failed", response=None, events=list[Json](events))

    assert ended["run"]["response"] == (shown(events) or None)


def shown(events: list[Event]) -> str:
    """A client: it keeps the pieces it has, and drops some when it is told to."""
    screen: list[tuple[int, str | None, str]] = []
    for event in events:
        data = event["data"]
        if event["type"] == "chunk":
            screen.append((event["seq"], data.get("step"), data["content"]))
        elif event["type"] == "retry" and type(data["discardAfter"]) in {int, float}:
            screen = [each for each in screen if each[1] != data["step"] or each[0] <= data["discardAfter"]]
    return "".join(content for _, _, content in screen)


def _event(seq: int, type_: str, **data: Json) -> Json:
    return {"seq": seq, "type": type_, "data": data}


async def _set(sql: Sql, run_id: str, change: str) -> None:
    await sql.connection.execute(
        f"update switchyard.runs set {change} where id = $1",  # noqa: S608 - written above
        UUID(run_id),
    )


async def _reap(sql: Sql, run_id: str) -> str:
    await sql.expire(run_id)
    reaped: Claim = await sql.reap()
    outcome: str = reaped[run_id]
    return outcome
