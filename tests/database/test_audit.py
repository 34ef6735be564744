"""The audit names every invariant that is broken, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseServer
from tests.support.sql import Sql, chunks, opened

# What stands in the way of breaking a rule: constraints and triggers, gone until the test is rolled back.
WITHOUT_GUARDS = """
set local session_replication_role = replica;
alter table switchyard.ledger drop constraint ledger_check, drop constraint ledger_check1;
drop index switchyard.ledger_key_once, switchyard.ledger_hold_closed_once, switchyard.events_one_terminal;
create function pg_temp.ended() returns uuid
language sql
as $$ select id from switchyard.runs where status = 'succeeded' $$;
create function pg_temp.running() returns uuid
language sql
as $$ select id from switchyard.runs where status = 'running' $$;
create function pg_temp.call_once() returns void
language sql
as $$
insert into switchyard.calls (id, run_id, step, epoch) values ('call-1', pg_temp.running(), 'one', 1);
insert into switchyard.steps (run_id, name, epoch, result, duration_ms)
values (pg_temp.running(), 'one', 1, '{"modelCall": "call-1"}', 1);
$$;
"""

NO_LEASE = "run without a live lease or past its queue deadline"
NO_END = "ended run without exactly one terminal event, last"
EARLY_END = "terminal event in a run that has not ended"
GAP = "gap in the numbering of events"
DOUBLE = "ledger key used twice"
DOUBLE_CLOSING = "hold closed twice"
SUM = "balance or held is not the sum of the ledger"
NEGATIVE = "own write below zero or beyond what was available"
OPEN_HOLD = "open hold of an ended run"
CHARGE = "charge of a run differs from its ledger"
UNBEGUN = "journaled call that was never begun"
DOUBLE_CALL = "call journaled by two steps"


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    """One user with an ended run (charged 2), a running one and a waiting one."""
    async with opened(database_server) as sql:
        user = await sql.user()
        ended = await sql.running(user, hold=3)
        await sql.finish(ended, charge=2, events=chunks(2, "a"))
        await sql.running(user)
        await sql.queued(user)
        yield sql


async def test_a_healthy_database_breaks_no_rule(shared: Sql) -> None:
    assert await shared.audit() == []


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (
            "update switchyard.runs set lease_until = now() - interval '61 s' where status = 'running'",
            {NO_LEASE},
        ),
        (
            "update switchyard.runs set queue_deadline_at = now() - interval '61 s' where status = 'queued'",
            {NO_LEASE},
        ),
        ("delete from switchyard.events where run_id = pg_temp.ended() and type = 'done'", {NO_END, GAP}),
        (
            "update switchyard.events set type = case seq when 2 then 'done' else 'chunk' end"
            " where run_id = pg_temp.ended() and seq > 1",
            {NO_END},
        ),
        ("update switchyard.events set type = 'failed' where run_id = pg_temp.ended() and seq = 2", {NO_END}),
        ("update switchyard.events set type = 'done' where run_id = pg_temp.running()", {EARLY_END}),
        ("delete from switchyard.events where run_id = pg_temp.ended() and seq = 2", {GAP}),
        ("delete from switchyard.events where run_id = pg_temp.running()", {GAP}),
        ("update switchyard.events set seq = 2 where run_id = pg_temp.running()", {GAP}),
        (
            "insert into switchyard.ledger (user_id, kind, amount, held, key)"
            " select user_id, kind, amount, held, key from switchyard.ledger where kind = 'hold' limit 1;"
            " update public.credit_balances set held = held + 3",
            {DOUBLE},
        ),
        (
            "insert into switchyard.ledger (user_id, kind, amount, held, key, hold_key)"
            " select user_id, 'release', 0, 0, 'other', hold_key from switchyard.ledger"
            " where kind = 'settle'",
            {DOUBLE_CLOSING},
        ),
        ("update public.credit_balances set credits_remaining = credits_remaining + 1", {SUM}),
        ("update public.credit_balances set held = held + 1", {SUM}),
        ("delete from switchyard.ledger where kind = 'opening'", {SUM, NEGATIVE}),
        (
            "insert into switchyard.ledger (user_id, kind, amount, held, key)"
            " select user_id, 'charge', -9, 0, 'k' from public.credit_balances;"
            " update public.credit_balances set credits_remaining = credits_remaining - 9",
            {NEGATIVE},
        ),
        (
            "insert into switchyard.ledger (user_id, kind, amount, held, key)"
            " select user_id, 'hold', 0, 9, 'k' from public.credit_balances;"
            " update public.credit_balances set held = held + 9",
            {NEGATIVE},
        ),
        (
            "alter table public.credit_balances drop constraint credit_balances_held_check;"
            "insert into switchyard.ledger (user_id, kind, amount, held)"
            " select user_id, 'external', 0, -9 from public.credit_balances;"
            " update public.credit_balances set held = held - 9",
            {NEGATIVE},
        ),
        (
            "update switchyard.ledger set hold_key = 'another'"
            " where run_id = pg_temp.ended() and kind = 'settle'",
            {OPEN_HOLD},
        ),
        ("update switchyard.runs set charged_credits = 1 where status = 'succeeded'", {CHARGE}),
        ("select pg_temp.call_once()", set()),
        ("select pg_temp.call_once(); delete from switchyard.calls", {UNBEGUN}),
        ("select pg_temp.call_once(); update switchyard.calls set step = 'two'", {UNBEGUN}),
        ("select pg_temp.call_once(); update switchyard.calls set run_id = pg_temp.ended()", {UNBEGUN}),
        (
            "select pg_temp.call_once();"
            " insert into switchyard.steps (run_id, name, epoch, result, duration_ms)"
            " select run_id, 'two', epoch, result, 1 from switchyard.steps",
            {DOUBLE_CALL, UNBEGUN},
        ),
    ],
)
async def test_a_broken_rule_is_named(shared: Sql, damage: str, rules: set[str]) -> None:
    transaction = shared.connection.transaction()
    await transaction.start()
    try:
        await shared.connection.execute(WITHOUT_GUARDS + damage)
        broken = await shared.connection.fetchval("select public.switchyard_audit()")
    finally:
        await transaction.rollback()

    assert {each["rule"] for each in broken} == rules
