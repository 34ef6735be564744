"""What a test does to the tables themselves: makes people and agents, looks at rows, ends a lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import orjson

__all__ = ["Connection", "Tables", "connected"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection that reads and writes `jsonb` as Python values."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )
    try:
        yield connection
    finally:
        await connection.close()


class Tables:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def user(self, *, balance: int = 10, plan: str = "enterprise") -> UUID:
        """A user with an account."""
        user = uuid4()
        await self.connection.execute("insert into auth.users (id, email) values ($1, $2)", user, f"{user}@x")
        await self.open_account(user, balance=balance, plan=plan)
        return user

    async def open_account(self, user: UUID, *, balance: int, plan: str = "enterprise") -> None:
        await self.connection.execute(
            "insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, $3)",
            user,
            balance,
            plan,
        )

    async def close_account(self, user: UUID) -> None:
        await self.connection.execute("delete from public.credit_balances where user_id = $1", user)

    async def thin_out(self, run_id: str, *, first: int, last: int) -> None:
        """Remove events of a run, which no function of ours does."""
        await self.connection.execute(
            "delete from switchyard.events where run_id = $1 and seq between $2 and $3",
            UUID(run_id),
            first,
            last,
        )

    async def forget(self, run_id: str) -> None:
        """Remove a run that a test has damaged, with its hold."""
        user = await self.connection.fetchval(
            "select user_id from switchyard.runs where id = $1", UUID(run_id)
        )
        await self.connection.execute("delete from switchyard.runs where id = $1", UUID(run_id))
        await self.connection.execute("delete from auth.users where id = $1", user)

    async def write_balance(self, user: UUID, balance: int) -> None:
        """What other code of the app does: it writes the column."""
        await self.connection.execute(
            "update public.credit_balances set credits_remaining = $2 where user_id = $1", user, balance
        )

    async def agent(self, owner: UUID, *, is_published: bool = False, status: str = "active") -> UUID:
        agent: UUID = await self.connection.fetchval(
            "insert into public.agents (user_id, name, is_published, status)"
            " values ($1, 'a', $2, $3) returning id",
            owner,
            is_published,
            status,
        )
        return agent

    async def ledger(self, user: UUID) -> list[tuple[str, int, int]]:
        """(kind, amount, held) of every row, in order."""
        rows = await self.connection.fetch(
            "select kind, amount, held from switchyard.ledger where user_id = $1 order by id", user
        )
        return [(row["kind"], row["amount"], row["held"]) for row in rows]

    async def log(self, run_id: UUID | str) -> list[tuple[int, str]]:
        """(seq, type) of every event."""
        rows = await self.connection.fetch(
            "select seq, type from switchyard.events where run_id = $1 order by seq", UUID(str(run_id))
        )
        return [(row["seq"], row["type"]) for row in rows]

    # Any: the row as JSON.
    async def row(self, run_id: UUID | str) -> dict[str, Any]:
        row: dict[str, Any] = await self.connection.fetchval(
            "select to_jsonb(r) from switchyard.runs r where id = $1", UUID(str(run_id))
        )
        return row

    async def expire(self, run_id: UUID | str) -> None:
        """The one cheat: the lease ended a moment ago."""
        await self.connection.execute(
            "update switchyard.runs set lease_until = clock_timestamp() - interval '1 ms'"
            " where id = $1 and status = 'running'",
            UUID(str(run_id)),
        )

    async def age_hold(self, user: UUID, key: str, *, by_s: float) -> None:
        """As if a request had been held that much earlier."""
        await self.connection.execute(
            "update switchyard.request_holds set held_at = held_at - make_interval(secs => $3)"
            " where user_id = $1 and key = $2",
            user,
            key,
            by_s,
        )

    async def wipe(self) -> None:
        """Empty every table, the append-only ledger too; the plans stay."""
        tables = await self.connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname in ('public', 'switchyard') and tablename <> 'plans'"
        )
        deletes = "".join(f"delete from {row['name']};" for row in tables)  # noqa: S608 - names of our own
        await self.connection.execute(
            f"set session_replication_role = replica; {deletes} delete from auth.users;"  # noqa: S608
            " set session_replication_role = origin"
        )
