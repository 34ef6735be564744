"""A past for a database: ended runs with all they have left, as if people had used it for a month.

Written by the database itself, with every constraint and trigger on. One user has a tenth of all, and one
agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

__all__ = ["BUSY_AGENT", "BUSY_USER", "LONG_RUN", "History", "write_people", "write_runs"]

A_BATCH: Final = 50_000
BUSY_USER: Final = UUID("00000000-0000-4000-8000-000000000000")
BUSY_AGENT: Final = UUID("00000000-0000-4000-9000-000000000000")
# Its log is longer than anybody reads at once.
LONG_RUN: Final = UUID("00000000-0000-7000-8000-0000000000ff")
TENTH: Final = 10


@dataclass(frozen=True, slots=True)
class History:
    """`events` are those of all runs together; `long_events` are of one more, over many claims."""

    users: int
    runs: int
    events: int
    long_events: int

    @property
    def events_a_run(self) -> int:
        return max(self.events // self.runs, 2)


async def write_people(url: str, history: History) -> None:
    """Users with accounts that last, and a hundred agents that everybody may run."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(PEOPLE.format(users=history.users))
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


async def write_runs(url: str, history: History) -> None:
    """The oldest ended 29 days ago, the newest now."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(DRAW)
        for first in range(0, history.runs, A_BATCH):
            numbers = {"first": first, "last": min(first + A_BATCH, history.runs) - 1}
            facts = {"users": history.users, "runs": history.runs, "events": history.events_a_run}
            async with connection.transaction():
                await connection.execute(BATCH.format(**numbers, **facts))
        await connection.execute(LONG.format(run=LONG_RUN, user=BUSY_USER, events=history.long_events))
        await connection.execute(ACCOUNTS)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


PEOPLE: Final = f"""
insert into auth.users (id)
select format('00000000-0000-4000-8000-%s', lpad(to_hex(n), 12, '0'))::uuid
from generate_series(0, {{users}} - 1) n;

insert into public.credit_balances (user_id, credits_remaining, plan_type)
select id, 10000000, 'enterprise' from auth.users;

insert into public.agents (id, user_id, name, kind, is_heavy, is_published, system_prompt)
select
  format('00000000-0000-4000-9000-%s', lpad(to_hex(n), 12, '0'))::uuid,
  '{BUSY_USER}', 'Agent ' || n, 'chat', true, true, repeat('You are patient. ', 20)
from generate_series(0, 99) n;
"""  # noqa: S608 - constants of this file

# One in ten is the busy user's with the busy agent; the others are spread.
DRAW: Final = f"""
create function pg_temp.at(n bigint, of bigint) returns timestamptz language sql as $$
  select clock_timestamp() - interval '29 days' * (1 - n::double precision / of) - interval '2 seconds'
$$;
create function pg_temp.run_id(at timestamptz, n bigint) returns uuid language sql as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0')
    || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid
$$;
create function pg_temp.person(n bigint, of bigint) returns uuid language sql as $$
  select case when n % {TENTH} = 0 then '{BUSY_USER}'::uuid else
    format('00000000-0000-4000-8000-%s', lpad(to_hex((n * 7919) % of), 12, '0'))::uuid end
$$;
create temp table batch (n bigint, id uuid, user_id uuid, agent_id uuid, at timestamptz, events integer);
"""  # noqa: S608 - as above

BATCH: Final = f"""
truncate batch;
insert into batch
select n, pg_temp.run_id(at, n), pg_temp.person(n, {{users}}),
  case when n % {TENTH} = 0 then '{BUSY_AGENT}'::uuid else
    format('00000000-0000-4000-9000-%s', lpad(to_hex((n * 31) % 100), 12, '0'))::uuid end,
  at, {{events}}
from (select n, pg_temp.at(n, {{runs}}) as at from generate_series({{first}}::bigint, {{last}}) n) drawn;

insert into switchyard.request_keys (user_id, key, run_id, body_hash, created_at)
select user_id, 'key ' || n, id, md5(n::text), at from batch where n % 2 = 0;

insert into switchyard.runs (
  id, user_id, agent_id, kind, status, agent, messages, input, metadata, credits_owner, hold_credits,
  charged_credits, created_at, queued_at, queue_deadline_at, started_at, counted_from, executed_ms, ended_at,
  epoch, claims, worker, lease_token, last_seq, response, usage
)
select b.id, b.user_id, b.agent_id, 'chat', 'succeeded', switchyard.agent_snapshot(a),
  '[{{{{"role": "user", "content": "What time is it in Berlin, and what is it like there?"}}}}]',
  '{{{{}}}}', '{{{{}}}}',
  'backend', 1, 1, b.at, b.at, b.at + interval '1 hour', b.at, b.at, 900, b.at + interval '1 second',
  1, 1, 'w' || b.n % 8, gen_random_uuid(), b.events, repeat('It is late in Berlin. ', 8),
  '{{{{"tokens_in": 120, "tokens_out": 40}}}}'
from batch b join public.agents a on a.id = b.agent_id;

insert into switchyard.events (run_id, seq, type, data, created_at)
select id, seq,
  case seq when 1 then 'started' when events then 'done' else 'chunk' end,
  jsonb_build_object('content', 'It is late in Berlin, I would say. ', 'step', 'model:1', 'number', seq),
  at
from batch cross join lateral generate_series(1, events) seq;

insert into switchyard.calls (id, run_id, step, epoch, begun_at)
select 'call ' || id, id, 'model:1', 1, at from batch;

insert into switchyard.steps (run_id, name, epoch, result, size_bytes, usage, duration_ms, finished_at)
select id, 'model:1', 1,
  jsonb_build_object('modelCall', 'call ' || id, 'text', repeat('It is late. ', 8)), 200,
  '{{{{"tokens_in": 120, "tokens_out": 40}}}}', 800, at
from batch;

insert into switchyard.ledger (user_id, kind, amount, held, key, run_id, created_at)
select user_id, 'hold', 0, 1, 'run:' || id || ':hold', id, at from batch;
insert into switchyard.ledger (user_id, kind, amount, held, key, hold_key, run_id, created_at)
select user_id, 'settle', -1, -1, 'run:' || id || ':settle', 'run:' || id || ':hold', id,
  at + interval '1 second'
from batch;

insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata, created_at)
select user_id, agent_id, 1, 'agent_execution', jsonb_build_object('run_id', id, 'status', 'succeeded'), at
from batch;

with threads as (
  insert into public.conversations (user_id, agent_id, title, created_at, updated_at)
  select user_id, agent_id, 'Berlin', at, at from batch where n % 20 = 0
  returning id, created_at
)
insert into public.messages (conversation_id, role, content, created_at)
select id, case turn % 2 when 1 then 'user' else 'assistant' end, 'What is it like there?',
  created_at + turn * interval '1 microsecond'
from threads cross join lateral generate_series(1, 8) turn;
"""  # noqa: S608 - as above

# Free of charge, so that it leaves nothing in the ledger.
LONG: Final = """
insert into switchyard.runs (
  id, user_id, agent_id, kind, status, agent, messages, metadata, credits_owner, hold_credits,
  charged_credits, queue_deadline_at, ended_at, last_seq
)
values (
  '{run}', '{user}', null, 'chat', 'succeeded', '{{}}', '[]', '{{}}', 'off', 0, 0, now(), now(), {events}
);
insert into switchyard.events (run_id, seq, type, data)
select '{run}', seq, case seq when 1 then 'started' when {events} then 'done' else 'chunk' end,
  jsonb_build_object('content', 'It is late in Berlin, I would say. ', 'number', seq)
from generate_series(1, {events}) seq;
"""

# As switchyard.account_move does it: the ledger has these changes already.
ACCOUNTS: Final = """
select set_config('switchyard.own_write', 'on', false);
update public.credit_balances b
set credits_remaining = b.credits_remaining - u.credits,
    credits_used_this_month = u.credits,
    usage_month = date_trunc('month', now() at time zone 'UTC')::date
from (
  select user_id, -sum(amount) as credits from switchyard.ledger where kind = 'settle' group by user_id
) u
where u.user_id = b.user_id;
select set_config('switchyard.own_write', 'off', false);
"""
