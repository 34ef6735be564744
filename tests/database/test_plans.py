"""What a call reads is bounded by what it answers, on tables of tens of thousands of rows.

Postgres counts the rows that a transaction reads of each table. Without the index that a call goes by, the
same count is out of bounds: that is tried for each of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

import pytest

from benchmarks.history import BUSY_AGENT, BUSY_USER, LONG_RUN, History, write_people, write_runs
from foundation.db import Database
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.sql import Sql, chunks
from tests.support.tables import Connection, connected

HISTORY: Final = History(users=300, runs=4_000, events=20_000, long_events=2_000)
WAITING: Final = 2_000
# What a look at the queue reads of it at most.
COUNTED: Final = 10_000
ONE: Final = UUID(int=BUSY_USER.int + 7)
LARGE: Final = [
    *(f"switchyard.{name}" for name in ("runs", "events", "steps", "calls", "ledger", "request_keys")),
    *("public.credit_usage", "public.messages"),
]

READ = """
select schemaname || '.' || relname as name, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) as rows
from pg_stat_xact_user_tables where schemaname || '.' || relname = any ($1)
"""
# A flood of one user, whose turn it is not: with half of the slots in use it is looked behind.
FLOOD = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, input, metadata, credits_owner, hold_credits, queue_deadline_at,
  queued_at
)
select gen_random_uuid(), $1, 'chat', 'queued', '{"name": "a"}', '[]', '{}', '{}', 'off', 0,
  now() + interval '1 hour', now() - interval '1 hour' + n * interval '1 ms'
from generate_series(1, $2) n
"""
# Some keys are so old that they go.
OLD = """
update switchyard.request_keys set created_at = created_at - interval '90 days'
where created_at < now() - interval '28 days'
"""


class Here:
    """A `Database` of one connection, so that calls and counts are in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Any: as `Database.call`.
    async def call(self, function: str, /, **args: Any) -> Any:
        told = ", ".join(f"p_{name} => ${number}" for number, name in enumerate(args, 1))
        return await self._connection.fetchval(f"select public.{function}({told})", *args.values())


@dataclass(frozen=True)
class Stored:
    """A stored run of one user's, and a claim of theirs that runs."""

    sql: Sql
    run: UUID
    claim: dict[str, Any]  # Any: as `Sql.claim` answers
    thread: UUID


@pytest.fixture(scope="module")
async def stored(database_server: DatabaseServer) -> AsyncIterator[Stored]:
    url = await fresh_database(database_server)
    await write_people(url, HISTORY)
    await write_runs(url, HISTORY)
    async with connected(url) as connection:
        sql = Sql(cast("Database", Here(connection)), connection)
        claim = await sql.running(ONE, worker="mine")
        run = await connection.fetchval(
            "select id from switchyard.runs where user_id = $1 and ended_at is not null limit 1", ONE
        )
        thread = await connection.fetchval("select id from public.conversations limit 1")
        await connection.execute("update public.conversations set user_id = $1 where id = $2", ONE, thread)
        await connection.execute(OLD)
        await connection.execute("vacuum analyze")
        # After the statistics: Postgres takes the queue for empty, as it does whenever a flood begins.
        await connection.execute(FLOOD, ONE, WAITING)
        yield Stored(sql, run, claim, thread)
    await drop(database_server, url)


async def _claim_behind(on: Stored) -> None:
    """Half of the slots are held by the one whose runs fill the queue."""
    claims = await on.sql.claim("other", limit=6, slots=8)
    assert len(claims) == 6


async def _submit(on: Stored) -> None:
    agent = await on.sql.call("agents_get", user_id=ONE, agent_id=BUSY_AGENT)
    told: dict[str, Any] = {"agent_id": BUSY_AGENT, "agent": agent, "key": "a key"}  # Any: as `claim`
    await on.sql.submit(ONE, worker="mine", is_seen=True, **told)


async def _reap(on: Stored) -> None:
    await on.sql.expire(on.claim["run_id"])
    assert await on.sql.reap() == {on.claim["run_id"]: "requeued"}


async def _cursor(on: Stored) -> None:
    before = await on.sql.connection.fetchval(
        "select id from switchyard.runs where user_id = $1 order by id desc offset 200 limit 1", BUSY_USER
    )
    listed = await on.sql.call("runs_list", user_id=BUSY_USER, before=before, limit=20)
    assert len(listed) == 20


async def _purge(on: Stored) -> None:
    assert (await on.sql.call("runs_purge", keep_days=28, limit=20))["runs"] == 20


async def _middle(on: Stored) -> None:
    page = await on.sql.read(BUSY_USER, LONG_RUN, after=1_000, limit=50)
    assert len(page["events"]) == 50


async def _backlog(on: Stored) -> None:
    """Of a queue that is longer than is counted, and grew after the statistics."""
    await on.sql.connection.execute(FLOOD, ONE, COUNTED + 500)
    found = await on.sql.call("runs_backlog", grace_s=60, queue_deadline_s=3600)
    assert found["queued"] == COUNTED


Work = Callable[[Stored], Awaitable[object]]
# What is called, and how many rows it may read at most of one table.
CALLS: Final[dict[str, tuple[Work, int]]] = {
    "submit": (_submit, 30),
    "claim": (lambda on: on.sql.claim("mine", limit=1), 30),
    "claim of many": (lambda on: on.sql.claim("other", limit=4, slots=8), 60),
    "claim behind a flood": (_claim_behind, 2_000),
    "heartbeat": (lambda on: on.sql.heartbeat(on.claim, worker="mine"), 30),
    "append": (lambda on: on.sql.append(on.claim, chunks(2, "a", "b")), 30),
    "save": (lambda on: on.sql.save(on.claim, "one"), 30),
    "finish": (lambda on: on.sql.finish(on.claim), 30),
    "cancel": (lambda on: on.sql.cancel(ONE, on.claim["run_id"]), 30),
    "release": (lambda on: on.sql.release(on.claim), 30),
    "reap": (_reap, 30),
    "resume in the middle": (_middle, 60),
    "tail": (
        lambda on: on.sql.call("events_tail", cursors=[{"run_id": str(LONG_RUN), "after": 1_900}], limit=50),
        60,
    ),
    "get": (lambda on: on.sql.call("runs_get", user_id=ONE, run_id=on.run), 30),
    "receipt": (lambda on: on.sql.call("runs_receipt", user_id=ONE, run_id=on.run), 30),
    "list": (lambda on: on.sql.call("runs_list", user_id=BUSY_USER, before=None, limit=20), 40),
    "list from a number on": (_cursor, 300),
    "credits": (lambda on: on.sql.credits(BUSY_USER), 30),
    "limits": (lambda on: on.sql.call("limits_take", user_id=ONE), 30),
    "conversation": (
        lambda on: on.sql.call("conversations_read", user_id=ONE, conversation_id=on.thread),
        30,
    ),
    "metrics of an agent": (
        lambda on: on.sql.call("agents_metrics", user_id=BUSY_USER, agent_id=BUSY_AGENT),
        600,
    ),
    # All that wait are of today, and are counted once as such and once as waiting.
    "figures of the day": (lambda on: on.sql.database.call("get_admin_stats"), 2 * WAITING + 300),
    "backlog": (_backlog, COUNTED + 30),
    "purge": (_purge, 400),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_reads_what_it_answers_and_no_table_from_end_to_end(stored: Stored, name: str) -> None:
    work, most = CALLS[name]

    read, _ = await _read(stored, work)

    assert {table: rows for table, rows in read.items() if rows > most} == {}


# Each index, what goes by it, and what makes it go.
INDEXES: Final = {
    "switchyard.runs_waiting_idx": "claim",
    "switchyard.runs_waiting_user_idx": "claim behind a flood",
    "switchyard.runs_overdue_idx": "reap",
    "switchyard.runs_running_idx": "reap",
    "switchyard.runs_user_idx": "list",
    "switchyard.runs_ended_idx": "purge",
    "switchyard.events_pkey": "resume in the middle",
    "switchyard.steps_pkey": "receipt",
    "switchyard.calls_run_idx": "purge",
    "switchyard.ledger_run_idx": "receipt",
    "switchyard.ledger_key_once": "finish",
    "switchyard.ledger_spent_idx": "figures of the day",
    "switchyard.request_keys_age_idx": "purge",
    "public.credit_usage_agent_idx": "metrics of an agent",
    "public.messages_conversation_idx": "conversation",
}


@pytest.mark.parametrize("index", INDEXES)
async def test_without_its_index_a_call_reads_far_more(stored: Stored, index: str) -> None:
    work, most = CALLS[INDEXES[index]]

    read, is_scanned = await _read(stored, work, without=index)

    assert is_scanned or max(read.values()) > most


async def _read(on: Stored, work: Work, *, without: str | None = None) -> tuple[dict[str, int], bool]:
    """Rows read of each large table, and whether one was read from end to end; all of it is taken back."""
    connection = on.sql.connection
    transaction = connection.transaction()
    await transaction.start()
    try:
        if without is not None:
            await _drop(connection, without)
        before = {row["name"]: row for row in await connection.fetch(READ, LARGE)}
        await work(on)
        after = await connection.fetch(READ, LARGE)
    finally:
        await transaction.rollback()
    scans = {row["name"]: row["seq_scan"] - before[row["name"]]["seq_scan"] for row in after}
    if without is None:
        assert {table: count for table, count in scans.items() if count} == {}
    return {row["name"]: row["rows"] - before[row["name"]]["rows"] for row in after}, any(scans.values())


async def _drop(connection: Connection, index: str) -> None:
    if index.endswith("_pkey"):
        table = index.removesuffix("_pkey")
        await connection.execute(f"alter table {table} drop constraint {index.rpartition('.')[2]} cascade")
    else:
        await connection.execute(f"drop index {index}")
