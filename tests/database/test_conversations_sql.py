"""Conversations: what a run leaves in one, what it is told of it, and whose it is."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from foundation.errors import (
    AgentNotFound,
    ConversationNotFound,
    InsufficientCredits,
    InvalidRequest,
    Json,
)
from tests.support.conversations import (
    begun,
    column,
    delete,
    history_of,
    kept_in,
    running,
    told,
    turns_of,
    write,
)
from tests.support.sql import Sql, chunks


async def test_a_conversation_goes_its_way(sql: Sql) -> None:
    user, stranger = await sql.user(), await sql.user()
    agent = await sql.agent(user)
    made = await sql.call("conversations_create", user_id=user, agent_id=agent, title="Plans")
    conversation = UUID(made["id"])

    claim = await running(sql, user, conversation, "u1")
    history = await history_of(sql, claim)
    await sql.finish(claim, response="a1")
    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    with pytest.raises(ConversationNotFound, match="no such conversation, or it is not yours"):
        await sql.call("conversations_read", user_id=stranger, conversation_id=conversation)
    with pytest.raises(ConversationNotFound):
        await running(sql, stranger, conversation, "u1")

    assert history == ["u1"]
    assert (read["agent_id"], read["title"], read["created_ms"]) == (str(agent), "Plans", made["created_ms"])
    assert [(turn["role"], turn["content"]) for turn in read["messages"]] == [
        ("user", "u1"),
        ("assistant", "a1"),
    ]
    assert {turn["run_id"] for turn in read["messages"]} == {claim["run_id"]}


@pytest.mark.parametrize("whose", ["somebody else's", "nobody's"])
async def test_a_run_in_a_foreign_conversation_is_refused_before_anything_is_held(
    sql: Sql, whose: str
) -> None:
    user = await sql.user()
    _, foreign = await begun(sql)

    with pytest.raises(ConversationNotFound):
        await running(sql, user, uuid4() if whose == "nobody's" else foreign, "u1", key="k")

    for table in ("switchyard.runs", "switchyard.request_keys", "switchyard.rate_windows", "public.messages"):
        assert await sql.connection.fetchval(f"select count(*) from {table}") == 0  # noqa: S608
    assert await sql.ledger(user) == [("opening", 10, 0)]


async def test_a_run_that_is_refused_leaves_no_turn(sql: Sql) -> None:
    user, conversation = await begun(sql)

    with pytest.raises(InsufficientCredits):
        await running(sql, user, conversation, "u1", hold=11)

    assert await kept_in(sql, conversation) == ""


async def test_a_conversation_is_named_after_its_first_user_turn(sql: Sql) -> None:
    user, conversation = await begun(sql)
    _, named = await begun(sql, user, title="Named")
    first = "u" * 100

    await running(sql, user, conversation, f"s1 {first}")
    await running(sql, user, conversation, "u2")
    await running(sql, user, named, "u3")

    titles = [await column(sql, each, "title") for each in (conversation, named)]
    assert titles == [first[:80], "Named"]


async def test_a_turn_and_an_answer_say_when_the_conversation_changed(sql: Sql) -> None:
    user, conversation = await begun(sql)

    times = [await column(sql, conversation, "updated_at")]
    claim = await running(sql, user, conversation, "u1")
    times.append(await column(sql, conversation, "updated_at"))
    await sql.finish(claim, response="a1")
    times.append(await column(sql, conversation, "updated_at"))

    assert len(set(times)) == 3
    assert times == sorted(times, key=str)


@pytest.mark.parametrize(("status", "response"), [("failed", None), ("cancelled", None), ("failed", "sorry")])
async def test_a_run_cut_short_leaves_what_it_had_said(sql: Sql, status: str, response: str | None) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")

    await sql.finish(claim, status, response=response, events=chunks(2, "so ", "far"))

    row = await sql.connection.fetchrow(
        "select content, metadata from public.messages where role = 'assistant'"
    )
    assert row is not None
    assert row["content"] == (response or "so far")
    assert row["metadata"] == {"run_id": claim["run_id"], "status": status}


@pytest.mark.parametrize("status", ["succeeded", "failed"])
@pytest.mark.parametrize("response", ["", None])
async def test_an_empty_answer_is_no_turn(sql: Sql, status: str, response: str | None) -> None:
    user, conversation = await begun(sql)

    await sql.finish(await running(sql, user, conversation, "u1"), status, response=response)

    assert await kept_in(sql, conversation) == "u1"


async def test_a_finish_told_twice_answers_once(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")

    for _ in range(2):
        await sql.finish(claim, response="a1")

    assert await kept_in(sql, conversation) == "u1 a1"


async def test_a_run_reads_what_was_said_before_it_and_its_own_turns(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await sql.finish(await running(sql, user, conversation, "u1"), response="a1")

    first = await running(sql, user, conversation, "u2")
    second = await running(sql, user, conversation, "u3")
    await write(sql, conversation, "u4")
    await sql.finish(first, response="a2")

    assert await history_of(sql, second) == ["u1", "a1", "u2", "u3"]


async def test_empty_turns_and_such_as_are_dated_ahead_are_not_told(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, "u1")
    await sql.connection.execute(
        "insert into public.messages (conversation_id, role, content, created_at)"
        " values ($1, 'user', 'ahead', clock_timestamp() + interval '1 year'), ($1, 'agent', '', now())",
        conversation,
    )

    first = await running(sql, user, conversation, "u2")
    history = await history_of(sql, first)
    await sql.finish(first, response="a2")
    second = await running(sql, user, conversation, "u2 a2 u3")

    assert history == ["u1", "u2"]
    assert await history_of(sql, second) == ["u1", "u2", "a2", "u3"]


async def test_a_long_conversation_is_told_from_its_newest_thousand_turns_on(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, " ".join(f"u{number}" for number in range(1100)))

    claim = await running(sql, user, conversation, "u1100")

    assert await history_of(sql, claim) == [f"u{number}" for number in range(101, 1101)]


async def test_a_large_conversation_is_told_up_to_two_million_characters(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, "u1")
    large = ["u" + "ß" * 699_999 for _ in range(3)]
    await write(sql, conversation, " ".join(large))

    claim = await running(sql, user, conversation, "u2")

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    assert [len(turn) for turn in await history_of(sql, claim)] == [700_000, 700_000, 2]
    assert len(read["messages"]) == 3


async def test_a_stale_token_is_told_nothing(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")

    stale = await sql.call("conversations_history", run_id=claim["run_id"], token=uuid4())
    await sql.finish(claim)
    ended = await sql.call("conversations_history", run_id=claim["run_id"], token=claim["token"])

    assert (stale, ended) == (None, None)


async def test_a_run_without_a_conversation_is_told_its_own_turns(sql: Sql) -> None:
    user, conversation = await begun(sql)
    alone = await sql.running(user, messages=turns_of("s1 u1"))
    left_alone = await running(sql, user, conversation, "u1 g1 u2")
    await delete(sql, conversation)

    assert await history_of(sql, alone) == ["s1", "u1"]
    assert await told(sql, left_alone) == [("user", "u1"), ("assistant", "a1"), ("user", "u2")]
    assert await history_of(sql, await sql.running(user, messages=[])) == []


async def test_a_run_whose_conversation_is_gone_ends_as_any_other(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")
    await delete(sql, conversation)

    ended = await sql.finish(claim, response="a1")

    assert ended["run"]["status"] == "succeeded"


async def test_a_conversation_is_opened_with_an_agent_one_may_run(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()
    own, published = await sql.agent(user), await sql.agent(other, is_published=True)

    for agent in (None, own, published):
        made = await sql.call("conversations_create", user_id=user, agent_id=agent, title=None)
        assert (made["agent_id"], made["title"]) == (str(agent) if agent else None, None)
    for hidden in (await sql.agent(other), uuid4()):
        with pytest.raises(AgentNotFound):
            await sql.call("conversations_create", user_id=user, agent_id=hidden, title=None)


async def test_nobody_who_is_not_there_opens_a_conversation(sql: Sql) -> None:
    with pytest.raises(InvalidRequest):
        await sql.call("conversations_create", user_id=uuid4(), agent_id=None, title=None)


async def test_the_newest_two_hundred_turns_are_shown(sql: Sql) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, " ".join(f"u{number}" for number in range(250)))

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)

    assert [turn["content"] for turn in read["messages"]] == [f"u{number}" for number in range(50, 250)]
    assert "run_id" not in read["messages"][0]


@pytest.mark.parametrize("metadata", [{"run_id": "not a run"}, {"run_id": 7}, [], "run_id"])
async def test_what_an_app_notes_beside_a_turn_is_no_run(sql: Sql, metadata: Json) -> None:
    user, conversation = await begun(sql)
    await write(sql, conversation, "u1")
    await sql.connection.execute("update public.messages set metadata = $1", metadata)

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)

    assert read["messages"][0].keys() == {"id", "role", "content", "created_ms"}
    assert await history_of(sql, await running(sql, user, conversation, "u2")) == ["u1", "u2"]
