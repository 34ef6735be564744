"""How the tests of conversations write turns: `"u1 a1"` is a user's turn u1 and the assistant's a1."""

from __future__ import annotations

import asyncio
from uuid import UUID

from foundation.errors import Json
from tests.support.sql import Claim, Sql

__all__ = [
    "begun",
    "column",
    "content",
    "delete",
    "history_of",
    "kept_in",
    "running",
    "told",
    "turns_of",
    "waits",
    "write",
]

# The assistant is an agent to older front ends; f and c are its answers in runs that failed, were cancelled.
ROLES = {"u": "user", "a": "assistant", "g": "agent", "f": "assistant", "c": "assistant", "s": "system"}
STATUSES = {"f": "failed", "c": "cancelled"}


def turns_of(text: str) -> list[Json]:
    return [{"role": ROLES[turn[0]], "content": content(turn)} for turn in text.split()]


def content(turn: str) -> str:
    """What is said; whatever an assistant is called, it says the same: g1, f1 and c1 are a1."""
    return f"a{turn[1:]}" if turn[0] in "gfc" else turn


async def begun(sql: Sql, user: UUID | None = None, *, title: str | None = None) -> tuple[UUID, UUID]:
    """A user and a conversation of theirs."""
    user = user or await sql.user()
    made = await sql.call("conversations_create", user_id=user, agent_id=None, title=title)
    return user, UUID(made["id"])


async def running(
    sql: Sql, user: UUID, conversation: UUID, said: str, *, worker: str | None = "w1", **changes: object
) -> Claim:
    """A run in the conversation; it is executed if `worker` is."""
    arguments = {"messages": turns_of(said), "conversation_id": conversation, **changes}
    answer = await sql.submit(user, worker=worker, **arguments)  # type: ignore[arg-type]  # as `submit` names them
    claim: Claim = answer["claim"] or {}
    return claim


async def told(sql: Sql, claim: Claim) -> list[tuple[str, str]]:
    """(role, content) of what a run is told."""
    answer = await sql.call("conversations_history", run_id=claim["run_id"], token=claim["token"])
    return [(turn["role"], turn["content"]) for turn in answer]


async def history_of(sql: Sql, claim: Claim) -> list[str]:
    return [said for _, said in await told(sql, claim)]


async def write(sql: Sql, conversation: UUID, said: str) -> None:
    """What a front end or an earlier run wrote, one turn after the other."""
    for turn in said.split():
        status = STATUSES.get(turn[0])
        await sql.connection.execute(
            "insert into public.messages (conversation_id, role, content, metadata, created_at)"
            " values ($1, $2, $3, $4, clock_timestamp())",
            conversation,
            ROLES[turn[0]],
            content(turn),
            {"status": status} if status else {},
        )


async def kept_in(sql: Sql, conversation: UUID) -> str:
    said: str | None = await sql.connection.fetchval(
        "select string_agg(content, ' ' order by created_at) from public.messages where conversation_id = $1",
        conversation,
    )
    return said or ""


async def column(sql: Sql, conversation: UUID, name: str) -> object:
    value: object = await sql.connection.fetchval(
        f"select {name} from public.conversations where id = $1",  # noqa: S608 - a name of our own
        conversation,
    )
    return value


async def delete(sql: Sql, conversation: UUID) -> None:
    await sql.connection.execute("delete from public.conversations where id = $1", conversation)


async def waits(sql: Sql, *, count: int = 1) -> None:
    """Until so many wait for a lock."""
    async with asyncio.timeout(30):
        while await sql.connection.fetchval("select count(*) from pg_locks where not granted") < count:
            await asyncio.sleep(0.005)
