"""What a claim, a submission and the reaper cost while very many runs wait. All of it is taken back."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import asyncpg

from benchmarks.figures import Table

__all__ = ["queues"]

SLOTS: Final = 32
CALLS: Final = 5
SHORT: Final = 64

# Each user, kind and moment of what waits, from a number n.
QUEUES: Final = {
    "of many users": ("10000 + n", "'chat'"),
    "of one user": ("1", "'chat'"),
    "of one user, and one run of another": ("case n when {last} then 2 else 1 end", "'chat'"),
    "of one kind, and one run of another": ("10000 + n", "case n when {last} then 'other' else 'chat' end"),
}
FILL: Final = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, input, metadata, credits_owner, hold_credits, queue_deadline_at,
  queued_at, last_seq
)
select gen_random_uuid(), ('00000000-0000-4000-7000-' || lpad(to_hex({user}), 12, '0'))::uuid, {kind},
  'queued', '{{"name": "a", "kind": "chat"}}', '[]', '{{}}', '{{}}', 'off', 0, now() + interval '1 hour',
  now() - interval '1 hour' + n * interval '1 ms', 0
from generate_series(1, {runs}) n
"""
CLAIM: Final = "select public.switchyard_runs_claim('queues', '{{chat,other}}', {limit}, 32, 5)"
ASKED: Final = {
    "runs_claim of 1": CLAIM.format(limit=1),
    "runs_claim of 32": CLAIM.format(limit=SLOTS),
    "runs_claim of 1, the first hundred locked": CLAIM.format(limit=1),
    "runs_reap": "select public.switchyard_runs_reap(100, 3600)",
    "runs_backlog": "select public.switchyard_runs_backlog(60, 3600)",
}


async def queues(url: str, lengths: Sequence[int], *, rounds: int) -> AsyncIterator[Table]:
    """A table for each length, and one for a short queue, in ms."""
    for length in (SHORT, *lengths):
        table = Table(f"{length} runs wait", tuple(f"{each}, ms" for each in QUEUES), 2)
        for name, (user, kind) in QUEUES.items():
            told = {"user": user.format(last=length), "kind": kind.format(last=length), "runs": length}
            await _measure(url, table, name, fill=FILL.format(**told), rounds=rounds)
        yield table


async def _measure(url: str, table: Table, name: str, *, fill: str, rounds: int) -> None:
    connection, other = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await connection.execute(fill)
        for _ in range(rounds):
            for asked, statement in ASKED.items():
                async with other.transaction():
                    if "locked" in asked:
                        await other.execute(
                            "select from switchyard.runs where status = 'queued'"
                            " order by queued_at, id limit 100 for update"
                        )
                    took_ms = [await _took_ms(connection, statement) for _ in range(CALLS)]
                table.add(asked, {f"{name}, ms": statistics.median(took_ms)})
        await _check(connection)
        await connection.execute(
            "delete from switchyard.runs where credits_owner = 'off' and status = 'queued'"
        )
        await connection.execute("vacuum switchyard.runs")
    finally:
        await connection.close()
        await other.close()


async def _took_ms(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> float:
    transaction = connection.transaction()
    await transaction.start()
    began_s = time.perf_counter()
    await connection.fetchval(statement)
    took_s = time.perf_counter() - began_s
    await transaction.rollback()
    return took_s * 1000


async def _check(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """That a claim of all slots is given as many runs."""
    transaction = connection.transaction()
    await transaction.start()
    claims = json.loads(await connection.fetchval(CLAIM.format(limit=SLOTS)))
    await transaction.rollback()
    if len(claims) != SLOTS:
        raise RuntimeError(f"{len(claims)} of {SLOTS} slots were filled")
