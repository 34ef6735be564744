"""Credit operations as one process asks for them: a hold and its settlement are two.

pool      `PoolDatabase`, as the backend calls its SQL functions
function  the same SQL functions by a prepared statement of asyncpg
update    an account that is only updated: no key, no ledger, no answer but what is left
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from uuid import UUID, uuid4

import asyncpg

from benchmarks.measured import follow_orders, start
from foundation.db import PoolDatabase

__all__ = ["DONE"]

DONE = "settled"
# As many as the backend's own pool.
CONNECTIONS = 10
HOLD = "select public.switchyard_credits_hold(p_user_id => $1, p_credits => $2, p_key => $3)"
SETTLE = "select public.switchyard_credits_settle(p_user_id => $1, p_key => $2, p_credits => $3)"
PROMISE = """
update public.bare_accounts set held = held + $2 where user_id = $1 and balance - held >= $2
returning balance - held
"""
CHARGE = """
update public.bare_accounts set balance = balance - $2, held = held - $2 where user_id = $1
returning balance - held
"""

# One hold and its settlement.
Pair = Callable[[UUID], Awaitable[None]]


async def main(way: str, database_url: str, accounts: str) -> None:
    users = await _accounts(database_url, most=int(accounts))
    async with WAYS[way](database_url) as pair:
        turn = cycle(users)

        async def run() -> str:
            await pair(next(turn))
            return DONE

        await follow_orders(run, libraries=("asyncpg",), expected=DONE)


async def _accounts(database_url: str, *, most: int) -> list[UUID]:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("select user_id from public.bare_accounts order by 1 limit $1", most)
    finally:
        await connection.close()
    return [row["user_id"] for row in rows]


@asynccontextmanager
async def _pool(database_url: str) -> AsyncIterator[Pair]:
    db = PoolDatabase(database_url, size=CONNECTIONS)
    await db.start()

    async def pair(user_id: UUID) -> None:
        key = str(uuid4())
        await db.call("switchyard_credits_hold", user_id=user_id, credits=1, key=key)
        await db.call("switchyard_credits_settle", user_id=user_id, key=key, credits=1)

    try:
        yield pair
    finally:
        await db.stop()


@asynccontextmanager
async def _function(database_url: str) -> AsyncIterator[Pair]:
    async with _connections(database_url) as pool:

        async def pair(user_id: UUID) -> None:
            key = str(uuid4())
            await pool.fetchval(HOLD, user_id, 1, key)
            await pool.fetchval(SETTLE, user_id, key, 1)

        yield pair


@asynccontextmanager
async def _update(database_url: str) -> AsyncIterator[Pair]:
    async with _connections(database_url) as pool:

        async def pair(user_id: UUID) -> None:
            await pool.fetchval(PROMISE, user_id, 1)
            await pool.fetchval(CHARGE, user_id, 1)

        yield pair


@asynccontextmanager
async def _connections(database_url: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    # Without the round trip that sets a session back at every release.
    async with asyncpg.create_pool(
        database_url, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=_keep
    ) as pool:
        yield pool


async def _keep(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """As the backend's own pool does."""


WAYS = {"pool": _pool, "function": _function, "update": _update}


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
