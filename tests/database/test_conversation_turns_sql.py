"""Which of the turns a run is sent are kept: each once, in order, whatever a front end sends again."""

from __future__ import annotations

from itertools import chain, product
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.conversations import (
    begun,
    content,
    history_of,
    kept_in,
    running,
    told,
    turns_of,
    write,
)
from tests.support.sql import Sql

TURNS = ["u1", "u2", "a1", "g1", "s1"]
KEPT = st.lists(st.sampled_from([*TURNS, "f1", "f2", "c1"]), max_size=7)
SENT = st.lists(st.sampled_from([*TURNS, "a2"]), max_size=6)


async def test_each_turn_of_a_conversation_is_kept_once_whatever_a_front_end_sends(sql: Sql) -> None:
    user, conversation = await begun(sql)

    for sent, answer in [("u1", "a1"), ("u1 a1 u2", "a2"), ("u3", "a3"), ("u1 a1 u2 a2 u3 a3 u4", "a4")]:
        await sql.finish(await running(sql, user, conversation, sent), response=answer)

    assert await kept_in(sql, conversation) == "u1 a1 u2 a2 u3 a3 u4 a4"


async def test_an_agents_turn_is_the_assistants(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, "u1 g1")

    claim = await running(sql, user, conversation, "u1 a1 u2")

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    assert await kept_in(sql, conversation) == "u1 a1 u2"
    assert [turn["role"] for turn in read["messages"]] == ["user", "assistant", "user"]
    assert await told(sql, claim) == [("user", "u1"), ("assistant", "a1"), ("user", "u2")]


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(known=KEPT, again=SENT)
@example(known=["f1"], again=["a1"])
async def test_the_longest_end_that_is_sent_again_is_not_kept_again(
    shared: Sql, known: list[str], again: list[str]
) -> None:
    user, conversation = await begun(shared)
    await write(shared, conversation, " ".join(known))

    claim = await running(shared, user, conversation, " ".join(again))

    whole = known + again[overlap(known, again) :]
    assert await kept_in(shared, conversation) == " ".join(map(content, whole))
    # A run is told something in any case: what it sent, if nothing else is left to tell.
    assert await history_of(shared, claim) == [content(turn) for turn in shown(whole) or again]


def overlap(known: list[str], again: list[str]) -> int:
    """How many turns of `again` are the end of `known`, with any of the answers cut short or without."""
    ways = product(*([[turn], []] if turn[0] in "fc" else [[turn]] for turn in known))
    ends = [[content(turn) for turn in chain.from_iterable(way)] for way in ways]
    said = [content(turn) for turn in again]
    return max(size for end in ends for size in range(len(said) + 1) if end[len(end) - size :] == said[:size])


def shown(whole: list[str]) -> list[str]:
    """What a model is told: nothing of runs that failed, and nothing cut short at the end."""
    kept = [turn for turn in whole if turn[0] != "f"]
    while kept and kept[-1][0] == "c":
        kept.pop()
    return kept


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("again", ["u2", "u1 a1 u2"])
async def test_a_question_asked_again_is_kept_once_and_is_the_last_thing_told(
    sql: Sql, status: str, again: str
) -> None:
    user, conversation = await begun(sql)
    await sql.finish(await running(sql, user, conversation, "u1"), response="a1")
    await sql.finish(await running(sql, user, conversation, "u1 a1 u2"), status, response="half")

    retry = await running(sql, user, conversation, again)

    assert await kept_in(sql, conversation) == "u1 a1 u2 half"
    assert await history_of(sql, retry) == ["u1", "a1", "u2"]


async def test_a_conversation_goes_on_after_retries_whatever_a_front_end_shows_of_them(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await sql.finish(await running(sql, user, conversation, "u1"), "failed", response="a7")
    await sql.finish(await running(sql, user, conversation, "u1"), "cancelled", response="a8")
    await sql.finish(await running(sql, user, conversation, "u1"), response="a1")

    for sent, number in [("u1 a1 u2", 2), ("u1 a8 a1 u2 a2 u3", 3), ("u1 a7 a8 a1 u2 a2 u3 a3 u4", 4)]:
        claim = await running(sql, user, conversation, sent)
        await sql.finish(claim, response=f"a{number}")

    assert await kept_in(sql, conversation) == "u1 a7 a8 a1 u2 a2 u3 a3 u4 a4"


async def test_what_was_said_after_a_run_was_cancelled_is_told_with_what_it_had_said(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await sql.finish(await running(sql, user, conversation, "u1"), "failed", response="lost")
    await sql.finish(await running(sql, user, conversation, "u2"), "cancelled", response="half")

    claim = await running(sql, user, conversation, "u3")

    assert await kept_in(sql, conversation) == "u1 lost u2 half u3"
    assert await history_of(sql, claim) == ["u1", "u2", "half", "u3"]


async def test_turns_are_kept_in_strict_order(sql: Sql) -> None:
    user, conversation = await begun(sql)
    said = " ".join(f"u{number}" for number in range(300))

    await sql.finish(await running(sql, user, conversation, said), response="a1")
    await sql.finish(await running(sql, user, conversation, said.replace("u", "s")), response="a2")

    times = await sql.connection.fetch("select created_at as at from public.messages order by created_at")
    assert await kept_in(sql, conversation) == f"{said} a1 {said.replace('u', 's')} a2"
    assert len({row["at"] for row in times}) == 602


async def test_a_clock_that_was_set_back_keeps_the_order(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, "u1 a1")
    await sql.connection.execute("update public.messages set created_at = created_at + interval '900 ms'")

    claim = await running(sql, user, conversation, "u2")
    told_then = await history_of(sql, claim)
    await sql.finish(claim, response="a2")

    assert told_then == ["u1", "a1", "u2"]
    assert await kept_in(sql, conversation) == "u1 a1 u2 a2"


async def test_a_joined_run_and_a_repeated_call_leave_nothing_more(sql: Sql) -> None:
    user, conversation = await begun(sql)
    run_id, token = uuid4(), uuid4()

    for _ in range(2):
        await running(sql, user, conversation, "u1", run_id=run_id, token=token, key="k")
    joined = await sql.submit(user, key="k", messages=turns_of("u1"), conversation_id=conversation)

    assert joined["joined"]
    assert await kept_in(sql, conversation) == "u1"
