-- What a call costs depends on what it answers, not on what has been stored. The functions below looked through a
-- table, or through all that wait, for what an index tells.

-- The queue has three orders: by age within a kind, by user within a kind, and by when a run has waited too long.
-- They hold waiting runs only, so that a million ended ones cost nothing here. Each says "waits" in words of its own,
-- which the checks of the table make the same: Postgres, which takes a queue for empty that was empty when it last
-- looked, finds any of them as good as another, and can take only the one whose words a query uses.
create index runs_waiting_idx on switchyard.runs (kind, queued_at, id) where status = 'queued';
create index runs_waiting_user_idx on switchyard.runs (kind, user_id, queued_at, id)
  where ended_at is null and lease_token is null;
create index runs_overdue_idx on switchyard.runs (least(queue_deadline_at, deadline_at))
  where charged_credits is null and lease_token is null;

-- Runs become garbage as they go: a run that has ended has left a row for each state before. A fifth of a large table,
-- which is what Postgres waits for by itself, would be hours of them at the head of the queue.
alter table switchyard.runs set (
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02
);

-- What is looked up of a user's ledger is looked up by a key. Each row written paid for this index with a page of its
-- user's, which is seldom at hand.
drop index switchyard.ledger_user_idx;
create index ledger_spent_idx on switchyard.ledger (created_at) where kind in ('settle', 'charge');

-- First those whose lease has ended, of which there are never more than slots, then those that waited too long, the
-- longest first. Which ones is decided before they are ordered: user by user, so that two replicas lock accounts in
-- the same order.
create or replace function public.switchyard_runs_reap(p_limit integer, p_queue_deadline_s double precision) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_max_attempts constant integer := 3;
  c_max_claims constant integer := 20;
  r switchyard.runs;
  v_now timestamptz := clock_timestamp();
  v_due uuid[];
  v_reaped jsonb := '[]';
  v_outcome text;
  v_end jsonb;
begin
  v_due := array(
    select q.id from switchyard.runs q
    where q.status = 'running' and q.lease_until < v_now
    limit p_limit
    for no key update skip locked
  );
  v_due := v_due || array(
    select q.id from switchyard.runs q
    where q.charged_credits is null and q.lease_token is null and least(q.queue_deadline_at, q.deadline_at) < v_now
    order by least(q.queue_deadline_at, q.deadline_at)
    limit p_limit - cardinality(v_due)
    for no key update skip locked
  );
  for r in
    select * from switchyard.runs where id = any (v_due) order by user_id, id
  loop
    if r.status = 'queued' then
      v_outcome := 'deadline_exceeded';
      r := switchyard.run_overdue(r, 'the run waited longer than its deadline');
    elsif r.cancel_requested_at is not null then
      v_outcome := 'cancelled';
      r := switchyard.run_cancelled(r);
    elsif r.deadline_at < v_now then
      v_outcome := 'deadline_exceeded';
      r := switchyard.run_overdue(r, 'the run passed its deadline');
    elsif r.attempts >= c_max_attempts or r.claims >= c_max_claims then
      v_outcome := 'poison';
      r := switchyard.run_failed(r, v_outcome, format('its worker was lost %s times', r.claims));
    else
      v_outcome := 'requeued';
      update switchyard.runs
      set status = 'queued',
          worker = null,
          lease_token = null,
          lease_until = null,
          queue_deadline_at = v_now + make_interval(secs => p_queue_deadline_s)
      where id = r.id;
    end if;
    v_end := case
      when v_outcome <> 'requeued'
      then switchyard.end_json(r) || jsonb_build_object('lost_calls', switchyard.calls_lost(r))
    end;
    v_reaped := v_reaped || jsonb_build_object('run_id', r.id, 'kind', r.kind, 'outcome', v_outcome, 'end', v_end);
  end loop;
  return v_reaped;
end
$$;

-- The smallest number a run of that moment can have: numbers begin with the milliseconds since 1970.
create function switchyard.run_floor(p_at timestamptz) returns uuid
language sql immutable
set search_path = ''
as $$
  select (lpad(to_hex(switchyard.epoch_ms(p_at)), 12, '0') || repeat('0', 20))::uuid
$$;

comment on function switchyard.run_floor is 'No run made at p_at or later has a smaller id, if the clock of who made it is right.';

-- How many wait, and since when the first does, is found in one pass of those that wait.
create or replace function public.switchyard_runs_backlog(p_grace_s double precision, p_queue_deadline_s double precision)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'queued', q.runs,
    'oldest_queued_ms', greatest(coalesce(
      switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(q.first_deadline_at)
        + (p_queue_deadline_s * 1000)::bigint,
      0
    ), 0),
    'stuck', (
      select count(*)
      from switchyard.runs
      where status = 'running' and lease_until < clock_timestamp() - make_interval(secs => p_grace_s)
    )
  )
  from (
    select count(*) as runs, min(queue_deadline_at) as first_deadline_at
    from switchyard.runs
    where status = 'queued'
  ) q
$$;

-- A page begins where the page before ended: with "or" in the condition it was looked for from the newest run on. The
-- user stands in a query of its own so that Postgres plans for any user: for one who has a tenth of all runs it would
-- go through everybody's, newest first, and that is a long way to somebody who has not been here for a month. Nor may
-- it take one for a user with a few runs, all of which can be read and sorted.
create or replace function public.switchyard_runs_list(p_user_id uuid, p_before uuid, p_limit integer) returns jsonb
language sql stable security definer
set search_path = ''
set enable_sort = off
as $$
  select coalesce(jsonb_agg(switchyard.run_json(r) - 'output' - 'response' order by r.id desc), '[]')
  from (
    select * from switchyard.runs
    where user_id = (select p_user_id) and id < coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    order by id desc
    limit p_limit
  ) r
$$;

-- Of a day, what is counted is the day's. Users and agents are counted one by one: they are few beside runs.
create or replace function public.get_admin_stats(p_user_id uuid default null) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  -- Ids are given by processes; one whose clock is 30 s off takes no callers.
  c_slack constant interval := interval '10 minutes';
  v_today timestamptz := date_trunc('day', now() at time zone 'UTC') at time zone 'UTC';
begin
  if p_user_id is not null and not public.has_role(p_user_id, 'admin') then
    perform switchyard.refuse('PT403', 'wrong_caller', 'only an admin may see these figures');
  end if;
  return jsonb_build_object(
    'totalUsers', (select count(*) from auth.users),
    'totalAgents', (select count(*) from public.agents),
    'publishedAgents', (select count(*) from public.agents where is_published),
    'heavyAgents', (select count(*) from public.agents where is_heavy),
    'runsToday', (
      select count(*) from switchyard.runs
      where id >= switchyard.run_floor(v_today - c_slack) and created_at >= v_today
    ),
    'creditsUsedToday', (
      select coalesce(-sum(amount), 0) from switchyard.ledger
      where kind in ('settle', 'charge') and created_at >= v_today
    ),
    'activeRuns', (
      (select count(*) from switchyard.runs where status = 'queued')
      + (select count(*) from switchyard.runs where status = 'running')
    )
  );
end
$$;

-- What an agent has cost is a sum over all that was ever spent on it. What is older than an hour is added up once, by
-- whoever asks, and then only what came since.
create table switchyard.agent_usage (
  agent_id uuid primary key references public.agents (id) on delete cascade,
  credits bigint not null,
  calls bigint not null,
  counted_to timestamptz not null
);

comment on table switchyard.agent_usage is 'What credit_usage says of each agent up to a moment, in whole credits.';
comment on column switchyard.agent_usage.credits is 'Whole credits, charged to whoever called.';
comment on column switchyard.agent_usage.calls is 'Rows of credit_usage that are added up here.';
comment on column switchyard.agent_usage.counted_to is 'Rows of credit_usage after it are not in the sums.';

alter table switchyard.agent_usage enable row level security;

-- An hour: a transaction that is open for longer and then adds a row is none of ours.
create function switchyard.agent_usage_of(p_agent_id uuid) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  c_settled constant timestamptz := clock_timestamp() - interval '1 hour';
  c_worth_keeping constant integer := 1000;
  v_before switchyard.agent_usage;
  v_credits bigint;
  v_calls bigint;
begin
  select * into v_before from switchyard.agent_usage where agent_id = p_agent_id;
  v_before.counted_to := coalesce(v_before.counted_to, '-infinity');

  select coalesce(sum(u.credits_used), 0), count(*) into v_credits, v_calls
  from public.credit_usage u
  where u.agent_id = p_agent_id and u.created_at > v_before.counted_to and u.created_at <= c_settled;
  if v_calls >= c_worth_keeping then
    insert into switchyard.agent_usage as a (agent_id, credits, calls, counted_to)
    values (p_agent_id, v_credits, v_calls, c_settled)
    on conflict (agent_id) do update
    set credits = a.credits + excluded.credits, calls = a.calls + excluded.calls, counted_to = excluded.counted_to
    -- Another call may have added the same rows meanwhile.
    where a.counted_to = v_before.counted_to;
  end if;

  return (
    select jsonb_build_object(
      'total_credits', coalesce(v_before.credits, 0) + v_credits + coalesce(sum(u.credits_used), 0),
      'total_calls', coalesce(v_before.calls, 0) + v_calls + count(*)
    )
    from public.credit_usage u
    where u.agent_id = p_agent_id and u.created_at > c_settled
  );
end
$$;

comment on function switchyard.agent_usage_of is '{total_credits, total_calls} of an agent, whoever paid.';

create or replace function public.switchyard_agents_metrics(p_user_id uuid, p_agent_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = ''
set enable_sort = off
as $$
begin
  if not exists (
    select from public.agents a
    where a.id = p_agent_id and a.user_id = p_user_id and coalesce(a.status, 'active') <> 'deleted'
  ) then
    perform switchyard.refuse('PT404', 'agent_not_found', 'no such agent, or it is not yours');
  end if;
  return switchyard.agent_usage_of(p_agent_id) || jsonb_build_object('recent_usage', coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'credits_used', n.credits_used,
      'operation_type', n.operation_type,
      'run_id', case when n.user_id = p_user_id then
        substring(n.metadata ->> 'run_id' from '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
      end,
      'status', case when switchyard.is_terminal(n.metadata ->> 'status') then n.metadata ->> 'status' end,
      'created_ms', switchyard.epoch_ms(n.created_at)
    )) order by n.created_at desc, n.id desc)
    from (
      select * from public.credit_usage u
      where u.agent_id = (select p_agent_id)
      order by u.created_at desc, u.id desc
      limit 100
    ) n
  ), '[]'));
end
$$;

revoke all on function switchyard.run_floor(timestamptz) from public, anon, authenticated;
revoke all on function switchyard.agent_usage_of(uuid) from public, anon, authenticated;
