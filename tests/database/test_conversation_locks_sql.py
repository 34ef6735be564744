"""Conversations that several want at once: nobody waits for long, and nothing is mixed or lost."""

from __future__ import annotations

import asyncio
from itertools import groupby

import pytest

from foundation.errors import (
    ConversationNotFound,
    DatabaseUnavailable,
    HeavyError,
    InsufficientCredits,
    RateLimited,
)
from tests.support.conversations import (
    begun,
    column,
    delete,
    history_of,
    kept_in,
    running,
    waits,
    write,
)
from tests.support.sql import Sql, connected, talking


async def test_runs_submitted_at_once_do_not_mix_their_turns(sql: Sql) -> None:
    user, conversation = await begun(sql)
    sent = [" ".join(f"u{run}.{turn}" for turn in range(20)) for run in range(8)]

    claims = await asyncio.gather(*(running(sql, user, conversation, each) for each in sent))

    stored = (await kept_in(sql, conversation)).split()
    blocks = [" ".join(block) for _, block in groupby(stored, key=lambda turn: turn.split(".")[0])]
    histories = [await history_of(sql, claim) for claim in claims]
    assert sorted(blocks) == sorted(sent)
    assert sorted(len(history) for history in histories) == [20 * number for number in range(1, 9)]
    assert all(stored[: len(history)] == history for history in histories)


async def test_a_run_answers_to_what_was_said_while_it_waited_for_its_turn(sql: Sql) -> None:
    user, conversation = await begun(sql)

    async with sql.connection.transaction():
        await sql.connection.execute("update public.conversations set title = 'mine'")
        submitting = asyncio.create_task(running(sql, user, conversation, "u2"))
        await waits(sql)
        await write(sql, conversation, "u1 a1")
    claim = await submitting

    assert await history_of(sql, claim) == ["u1", "a1", "u2"]


async def test_a_run_submitted_while_its_conversation_is_deleted_is_refused(sql: Sql) -> None:
    user, conversation = await begun(sql)

    async with sql.connection.transaction():
        await delete(sql, conversation)
        submitting = asyncio.create_task(running(sql, user, conversation, "u1"))
        await waits(sql)
    with pytest.raises(ConversationNotFound):
        await submitting

    assert await sql.connection.fetchval("select count(*) from switchyard.runs") == 0
    assert await sql.money(user) == (10, 0)


async def test_a_run_submitted_while_its_conversation_is_nearly_deleted_goes_on(sql: Sql) -> None:
    user, conversation = await begun(sql)

    transaction = sql.connection.transaction()
    await transaction.start()
    await delete(sql, conversation)
    submitting = asyncio.create_task(running(sql, user, conversation, "u1"))
    await waits(sql)
    await transaction.rollback()
    await submitting

    assert await kept_in(sql, conversation) == "u1"


async def test_a_run_that_ends_while_its_conversation_is_deleted_does_not_wait(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")

    async with sql.connection.transaction():
        await delete(sql, conversation)
        ended = await asyncio.wait_for(sql.finish(claim, response="a1"), 10)

    assert (ended["run"]["status"], ended["run"]["response"]) == ("succeeded", "a1")
    assert await sql.connection.fetchval("select count(*) from public.messages") == 0


async def test_an_answer_does_not_wait_for_whoever_changes_the_conversation(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")

    async with sql.connection.transaction():
        await sql.connection.execute("update public.conversations set title = 'mine'")
        await asyncio.wait_for(sql.finish(claim, response="a1"), 10)

    assert await kept_in(sql, conversation) == "u1 a1"
    assert await column(sql, conversation, "title") == "mine"


async def test_deleting_a_user_neither_stops_nor_is_stopped_by_runs_in_their_conversations(sql: Sql) -> None:
    user = await sql.user(balance=1000)
    conversations = [(await begun(sql, user))[1] for _ in range(20)]
    claims = [await running(sql, user, each, "u1") for each in conversations]

    calls = [running(sql, user, each, "u2", worker=None) for each in conversations]
    deleting, *rest = await asyncio.gather(
        sql.connection.execute("delete from auth.users where id = $1", user),
        *(sql.finish(claim, response="a1") for claim in claims),
        *calls,
        return_exceptions=True,
    )

    refused = {type(each) for each in rest if isinstance(each, HeavyError)}
    assert deleting == "DELETE 1"
    assert DatabaseUnavailable not in refused
    # Without an account the plan is the free one, with few runs a minute.
    assert refused <= {ConversationNotFound, InsufficientCredits, RateLimited}
    assert await sql.connection.fetchval("select count(*) from public.messages") == 0


async def test_a_run_submitted_while_its_user_is_deleted_is_refused_and_stops_nothing(
    database_url: str,
) -> None:
    async with talking(database_url) as sql, connected(database_url) as other:
        user, conversation = await begun(sql)

        async with sql.connection.transaction():
            await sql.connection.execute("select from public.credit_balances for update")
            deleting = asyncio.create_task(other.execute("delete from auth.users where id = $1", user))
            await waits(sql)
            submitting = asyncio.create_task(running(sql, user, conversation, "u1"))
            await waits(sql, count=2)

        assert await deleting == "DELETE 1"
        with pytest.raises(ConversationNotFound):
            await submitting
        assert await sql.audit() == []
