"""Conversations: what a run leaves in one, what it is told of it, and whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.errors import (
    AgentNotFound,
    ConversationNotFound,
    DatabaseUnavailable,
    HeavyError,
    InsufficientCredits,
    InvalidRequest,
    Json,
    RateLimited,
)
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.postgrest import RestDatabase, serving
from tests.support.sql import Claim, Sql, chunks, connected, talking

ROLES = {"u": "user", "a": "assistant", "g": "agent", "s": "system"}
TURNS = st.lists(st.sampled_from(["u1", "u2", "a1", "g1", "s1"]), max_size=6)


@pytest.fixture(scope="module")
async def doors(database_server: DatabaseServer) -> AsyncIterator[dict[str, Sql]]:
    url = await fresh_database(database_server)
    async with talking(url) as pool, serving(url) as rest:
        yield {"pool": pool, "postgrest": Sql(RestDatabase(rest), pool.connection)}
    await drop(database_server, url)


@pytest.mark.parametrize("door", ["pool", "postgrest"])
async def test_a_conversation_goes_its_way_by_either_door(doors: dict[str, Sql], door: str) -> None:
    sql = doors[door]
    user, stranger = await sql.user(), await sql.user()
    agent = await sql.agent(user)
    made = await sql.call("conversations_create", user_id=user, agent_id=agent, title="Plans")
    conversation = UUID(made["id"])

    claim = await _running(sql, user, conversation, "u1")
    history = await _history(sql, claim)
    await sql.finish(claim, response="a1")
    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    with pytest.raises(ConversationNotFound, match="no such conversation, or it is not yours"):
        await sql.call("conversations_read", user_id=stranger, conversation_id=conversation)
    with pytest.raises(ConversationNotFound):
        await _running(sql, stranger, conversation, "u1")

    assert history == ["u1"]
    assert (read["agent_id"], read["title"], read["created_ms"]) == (str(agent), "Plans", made["created_ms"])
    assert [(turn["role"], turn["content"]) for turn in read["messages"]] == [
        ("user", "u1"),
        ("assistant", "a1"),
    ]
    assert {turn["run_id"] for turn in read["messages"]} == {claim["run_id"]}
    assert await sql.audit() == []


async def test_each_turn_of_a_conversation_is_kept_once_whatever_a_front_end_sends(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    for sent, answer in [("u1", "a1"), ("u1 a1 u2", "a2"), ("u3", "a3"), ("u1 a1 u2 a2 u3 a3 u4", "a4")]:
        await sql.finish(await _running(sql, user, conversation, sent), response=answer)

    assert await _kept(sql, conversation) == "u1 a1 u2 a2 u3 a3 u4 a4"


async def test_an_agents_turn_is_the_assistants(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, "u1 g1")

    claim = await _running(sql, user, conversation, "u1 a1 u2")

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    assert await _kept(sql, conversation) == "u1 a1 u2"
    assert [turn["role"] for turn in read["messages"]] == ["user", "assistant", "user"]
    assert await _told(sql, claim) == [("user", "u1"), ("assistant", "a1"), ("user", "u2")]


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(TURNS, TURNS)
async def test_the_longest_end_that_is_sent_again_is_not_kept_again(
    shared: Sql, kept: list[str], sent: list[str]
) -> None:
    user, conversation = await _begun(shared)
    await _write(shared, conversation, " ".join(kept))

    claim = await _running(shared, user, conversation, " ".join(sent))

    known, again = ([_content(turn) for turn in turns] for turns in (kept, sent))
    whole = known + again[overlap(known, again) :]
    assert await _kept(shared, conversation) == " ".join(whole)
    assert await _history(shared, claim) == whole


def overlap(known: list[str], again: list[str]) -> int:
    """How many turns of `again` are the end of `known`."""
    sizes = range(min(len(known), len(again)), 0, -1)
    return next((size for size in sizes if known[-size:] == again[:size]), 0)


async def test_turns_are_kept_in_strict_order(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    turns = " ".join(f"u{number}" for number in range(300))

    await sql.finish(await _running(sql, user, conversation, turns), response="a1")
    await sql.finish(await _running(sql, user, conversation, turns.replace("u", "s")), response="a2")

    times = await sql.connection.fetch("select created_at as at from public.messages order by created_at")
    assert await _kept(sql, conversation) == f"{turns} a1 {turns.replace('u', 's')} a2"
    assert len({row["at"] for row in times}) == 602


async def test_a_clock_that_was_set_back_keeps_the_order(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, "u1 a1")
    await sql.connection.execute("update public.messages set created_at = created_at + interval '900 ms'")

    claim = await _running(sql, user, conversation, "u2")
    history = await _history(sql, claim)
    await sql.finish(claim, response="a2")

    assert history == ["u1", "a1", "u2"]
    assert await _kept(sql, conversation) == "u1 a1 u2 a2"


async def test_a_joined_run_and_a_repeated_call_leave_nothing_more(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    run_id, token = uuid4(), uuid4()

    for _ in range(2):
        await _running(sql, user, conversation, "u1", run_id=run_id, token=token, key="k")
    joined = await sql.submit(user, key="k", messages=_turns("u1"), conversation_id=conversation)

    assert joined["joined"]
    assert await _kept(sql, conversation) == "u1"


@pytest.mark.parametrize("whose", ["somebody else's", "nobody's"])
async def test_a_run_in_a_foreign_conversation_is_refused_before_anything_is_held(
    sql: Sql, whose: str
) -> None:
    user = await sql.user()
    _, foreign = await _begun(sql)

    with pytest.raises(ConversationNotFound):
        await _running(sql, user, uuid4() if whose == "nobody's" else foreign, "u1", key="k")

    for table in ("switchyard.runs", "switchyard.request_keys", "switchyard.rate_windows", "public.messages"):
        assert await sql.connection.fetchval(f"select count(*) from {table}") == 0  # noqa: S608
    assert await sql.ledger(user) == [("opening", 10, 0)]


async def test_a_run_that_is_refused_leaves_no_turn(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    with pytest.raises(InsufficientCredits):
        await _running(sql, user, conversation, "u1", hold=11)

    assert await _kept(sql, conversation) == ""


async def test_a_conversation_is_named_after_its_first_user_turn(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    _, named = await _begun(sql, user, title="Named")
    first = "u" * 100

    await _running(sql, user, conversation, f"s1 {first}")
    await _running(sql, user, conversation, "u2")
    await _running(sql, user, named, "u3")

    titles = [await _column(sql, each, "title") for each in (conversation, named)]
    assert titles == [first[:80], "Named"]


async def test_a_turn_and_an_answer_say_when_the_conversation_changed(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    times = [await _column(sql, conversation, "updated_at")]
    claim = await _running(sql, user, conversation, "u1")
    times.append(await _column(sql, conversation, "updated_at"))
    await sql.finish(claim, response="a1")
    times.append(await _column(sql, conversation, "updated_at"))

    assert len(set(times)) == 3
    assert times == sorted(times, key=str)


@pytest.mark.parametrize(("status", "response"), [("failed", None), ("cancelled", None), ("failed", "sorry")])
async def test_a_run_cut_short_leaves_what_it_had_said(sql: Sql, status: str, response: str | None) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")

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
    user, conversation = await _begun(sql)

    await sql.finish(await _running(sql, user, conversation, "u1"), status, response=response)

    assert await _kept(sql, conversation) == "u1"


async def test_a_finish_told_twice_answers_once(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")

    for _ in range(2):
        await sql.finish(claim, response="a1")

    assert await _kept(sql, conversation) == "u1 a1"


async def test_a_run_reads_what_was_said_before_it_and_its_own_turns(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await sql.finish(await _running(sql, user, conversation, "u1"), response="a1")

    first = await _running(sql, user, conversation, "u2")
    second = await _running(sql, user, conversation, "u3")
    await _write(sql, conversation, "u4")
    await sql.finish(first, response="a2")

    assert await _history(sql, second) == ["u1", "a1", "u2", "u3"]


async def test_empty_turns_and_such_as_are_dated_ahead_are_not_told(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, "u1")
    await sql.connection.execute(
        "insert into public.messages (conversation_id, role, content, created_at)"
        " values ($1, 'user', 'ahead', clock_timestamp() + interval '1 year'), ($1, 'agent', '', now())",
        conversation,
    )

    first = await _running(sql, user, conversation, "u2")
    history = await _history(sql, first)
    await sql.finish(first, response="a2")
    second = await _running(sql, user, conversation, "u2 a2 u3")

    assert history == ["u1", "u2"]
    assert await _history(sql, second) == ["u1", "u2", "a2", "u3"]


async def test_a_long_conversation_is_told_from_its_newest_thousand_turns_on(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, " ".join(f"u{number}" for number in range(1100)))

    claim = await _running(sql, user, conversation, "u1100")

    assert await _history(sql, claim) == [f"u{number}" for number in range(101, 1101)]


async def test_a_large_conversation_is_told_up_to_two_million_characters(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, "u1")
    large = ["u" + "ß" * 699_999 for _ in range(3)]
    await _write(sql, conversation, " ".join(large))

    claim = await _running(sql, user, conversation, "u2")

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)
    assert [len(turn) for turn in await _history(sql, claim)] == [700_000, 700_000, 2]
    assert len(read["messages"]) == 3


async def test_a_stale_token_is_told_nothing(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")

    stale = await sql.call("conversations_history", run_id=claim["run_id"], token=uuid4())
    await sql.finish(claim)
    ended = await sql.call("conversations_history", run_id=claim["run_id"], token=claim["token"])

    assert (stale, ended) == (None, None)


async def test_a_run_without_a_conversation_is_told_its_own_turns(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    alone = await sql.running(user, messages=_turns("s1 u1"))
    left_alone = await _running(sql, user, conversation, "u1 g1 u2")
    await _delete(sql, conversation)

    assert await _history(sql, alone) == ["s1", "u1"]
    assert await _told(sql, left_alone) == [("user", "u1"), ("assistant", "a1"), ("user", "u2")]
    assert await _history(sql, await sql.running(user, messages=[])) == []


async def test_runs_submitted_at_once_do_not_mix_their_turns(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    sent = [" ".join(f"u{run}.{turn}" for turn in range(20)) for run in range(8)]

    claims = await asyncio.gather(*(_running(sql, user, conversation, each) for each in sent))

    kept = (await _kept(sql, conversation)).split()
    blocks = [" ".join(block) for _, block in groupby(kept, key=lambda turn: turn.split(".")[0])]
    histories = [await _history(sql, claim) for claim in claims]
    assert sorted(blocks) == sorted(sent)
    assert sorted(len(history) for history in histories) == [20 * number for number in range(1, 9)]
    assert all(kept[: len(history)] == history for history in histories)


async def test_a_run_answers_to_what_was_said_while_it_waited_for_its_turn(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    async with sql.connection.transaction():
        await sql.connection.execute("update public.conversations set title = 'mine'")
        submitting = asyncio.create_task(_running(sql, user, conversation, "u2"))
        await _waits(sql)
        await _write(sql, conversation, "u1 a1")
    claim = await submitting

    assert await _history(sql, claim) == ["u1", "a1", "u2"]


async def test_a_run_submitted_while_its_conversation_is_deleted_is_refused(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    async with sql.connection.transaction():
        await _delete(sql, conversation)
        submitting = asyncio.create_task(_running(sql, user, conversation, "u1"))
        await _waits(sql)
    with pytest.raises(ConversationNotFound):
        await submitting

    assert await sql.connection.fetchval("select count(*) from switchyard.runs") == 0
    assert await sql.money(user) == (10, 0)


async def test_a_run_submitted_while_its_conversation_is_nearly_deleted_goes_on(sql: Sql) -> None:
    user, conversation = await _begun(sql)

    transaction = sql.connection.transaction()
    await transaction.start()
    await _delete(sql, conversation)
    submitting = asyncio.create_task(_running(sql, user, conversation, "u1"))
    await _waits(sql)
    await transaction.rollback()
    await submitting

    assert await _kept(sql, conversation) == "u1"


async def test_a_run_that_ends_while_its_conversation_is_deleted_does_not_wait(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")

    async with sql.connection.transaction():
        await _delete(sql, conversation)
        ended = await asyncio.wait_for(sql.finish(claim, response="a1"), 10)

    assert (ended["run"]["status"], ended["run"]["response"]) == ("succeeded", "a1")
    assert await sql.connection.fetchval("select count(*) from public.messages") == 0


async def test_a_run_whose_conversation_is_gone_ends_as_any_other(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")
    await _delete(sql, conversation)

    ended = await sql.finish(claim, response="a1")

    assert ended["run"]["status"] == "succeeded"


async def test_an_answer_does_not_wait_for_whoever_changes_the_conversation(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")

    async with sql.connection.transaction():
        await sql.connection.execute("update public.conversations set title = 'mine'")
        await asyncio.wait_for(sql.finish(claim, response="a1"), 10)

    assert await _kept(sql, conversation) == "u1 a1"
    assert await _column(sql, conversation, "title") == "mine"


async def test_an_apps_own_rules_for_messages_keep_no_run_from_ending(sql: Sql) -> None:
    user, conversation = await _begun(sql)
    claim = await _running(sql, user, conversation, "u1")
    await sql.connection.execute(
        "alter table public.messages add constraint ours check (role in ('user', 'agent'))"
    )
    try:
        ended = await sql.finish(claim, response="a1")
    finally:
        await sql.connection.execute("alter table public.messages drop constraint ours")

    assert ended["run"]["status"] == "succeeded"
    assert await sql.money(user) == (9, 0)
    assert await _kept(sql, conversation) == "u1"


async def test_deleting_a_user_neither_stops_nor_is_stopped_by_runs_in_their_conversations(sql: Sql) -> None:
    user = await sql.user(balance=1000)
    conversations = [(await _begun(sql, user))[1] for _ in range(20)]
    claims = [await _running(sql, user, each, "u1") for each in conversations]

    calls = [_running(sql, user, each, "u2", worker=None) for each in conversations]
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
        user, conversation = await _begun(sql)

        async with sql.connection.transaction():
            await sql.connection.execute("select from public.credit_balances for update")
            deleting = asyncio.create_task(other.execute("delete from auth.users where id = $1", user))
            await _waits(sql)
            submitting = asyncio.create_task(_running(sql, user, conversation, "u1"))
            await _waits(sql, count=2)

        assert await deleting == "DELETE 1"
        with pytest.raises(ConversationNotFound):
            await submitting
        assert await sql.audit() == []


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
    user, conversation = await _begun(sql)
    await _write(sql, conversation, " ".join(f"u{number}" for number in range(250)))

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)

    assert [turn["content"] for turn in read["messages"]] == [f"u{number}" for number in range(50, 250)]
    assert "run_id" not in read["messages"][0]


@pytest.mark.parametrize("metadata", [{"run_id": "not a run"}, {"run_id": 7}, [], "run_id"])
async def test_what_an_app_notes_beside_a_turn_is_no_run(sql: Sql, metadata: Json) -> None:
    user, conversation = await _begun(sql)
    await _write(sql, conversation, "u1")
    await sql.connection.execute("update public.messages set metadata = $1", metadata)

    read = await sql.call("conversations_read", user_id=user, conversation_id=conversation)

    assert read["messages"][0].keys() == {"id", "role", "content", "created_ms"}
    assert await _history(sql, await _running(sql, user, conversation, "u2")) == ["u1", "u2"]


def _turns(text: str) -> list[Json]:
    """`"u1 a1"` is a user's turn u1 and the assistant's a1; an agent's, g1, says the same as that."""
    return [{"role": ROLES[turn[0]], "content": _content(turn)} for turn in text.split()]


def _content(turn: str) -> str:
    return turn.replace("g", "a")


async def _begun(sql: Sql, user: UUID | None = None, *, title: str | None = None) -> tuple[UUID, UUID]:
    """A user and a conversation of theirs."""
    user = user or await sql.user()
    made = await sql.call("conversations_create", user_id=user, agent_id=None, title=title)
    return user, UUID(made["id"])


async def _running(
    sql: Sql, user: UUID, conversation: UUID, turns: str, *, worker: str | None = "w1", **changes: object
) -> Claim:
    """A run in the conversation; it is executed if `worker` is."""
    arguments = {"messages": _turns(turns), "conversation_id": conversation, **changes}
    answer = await sql.submit(user, worker=worker, **arguments)  # type: ignore[arg-type]  # as `submit` names them
    claim: Claim = answer["claim"] or {}
    return claim


async def _told(sql: Sql, claim: Claim) -> list[tuple[str, str]]:
    told = await sql.call("conversations_history", run_id=claim["run_id"], token=claim["token"])
    return [(turn["role"], turn["content"]) for turn in told]


async def _history(sql: Sql, claim: Claim) -> list[str]:
    return [content for _, content in await _told(sql, claim)]


async def _write(sql: Sql, conversation: UUID, turns: str) -> None:
    """What a front end writes by itself, one turn after the other."""
    for turn in turns.split():
        await sql.connection.execute(
            "insert into public.messages (conversation_id, role, content, created_at)"
            " values ($1, $2, $3, clock_timestamp())",
            conversation,
            ROLES[turn[0]],
            _content(turn),
        )


async def _kept(sql: Sql, conversation: UUID) -> str:
    kept: str | None = await sql.connection.fetchval(
        "select string_agg(content, ' ' order by created_at) from public.messages where conversation_id = $1",
        conversation,
    )
    return kept or ""


async def _column(sql: Sql, conversation: UUID, column: str) -> object:
    value: object = await sql.connection.fetchval(
        f"select {column} from public.conversations where id = $1",  # noqa: S608 - a name of our own
        conversation,
    )
    return value


async def _delete(sql: Sql, conversation: UUID) -> None:
    await sql.connection.execute("delete from public.conversations where id = $1", conversation)


async def _waits(sql: Sql, *, count: int = 1) -> None:
    """Until so many wait for a lock."""
    async with asyncio.timeout(10):
        while await sql.connection.fetchval("select count(*) from pg_locks where not granted") < count:
            await asyncio.sleep(0.005)
