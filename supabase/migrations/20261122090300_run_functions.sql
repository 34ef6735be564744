-- The life of a run, one function a use case, each one transaction.

create function switchyard.gapless(p_last_seq integer, p_first integer, p_newest integer, p_count bigint)
returns integer
language plpgsql immutable
set search_path = ''
as $$
begin
  if p_count > 0 and (p_first <> p_last_seq + 1 or p_newest <> p_last_seq + p_count) then
    raise exception 'events % to % (% of them) after % would leave a gap', p_first, p_newest, p_count, p_last_seq;
  end if;
  return coalesce(p_newest, p_last_seq);
end
$$;

comment on function switchyard.gapless is 'The newest number, if these events follow the last one without a gap; else an error.';

create function switchyard.not_terminal(p_type text) returns text
language plpgsql immutable
set search_path = ''
as $$
begin
  if p_type in ('done', 'failed', 'cancelled') then
    raise exception 'event % ends a run; only its end writes it', p_type;
  end if;
  return p_type;
end
$$;

comment on function switchyard.not_terminal is 'The type of an event, unless it is one that only run_end may write.';

-- Numbers already there are skipped, so a repeated flush is harmless.
create function switchyard.events_add(p_run_id uuid, p_last_seq integer, p_events jsonb) returns integer
language sql
set search_path = ''
as $$
  with fresh as (
    select e.seq, e.type, e.data
    from jsonb_to_recordset(p_events) as e (seq integer, type text, data jsonb)
    where e.seq > p_last_seq
  ),
  added as (
    insert into switchyard.events (run_id, seq, type, data)
    select p_run_id, seq, switchyard.not_terminal(type), data from fresh order by seq
  )
  select switchyard.gapless(p_last_seq, min(seq), max(seq), count(*)) from fresh
$$;

comment on function switchyard.events_add is
  'Appends events [{seq, type, data}] to a run the caller has locked; answers the newest number.';

-- Everything that ends a run goes through here: the terminal event, the status and the money in one go.
create function switchyard.run_end(
  r switchyard.runs,
  p_status text,
  p_code text,
  p_error text,
  p_response text,
  p_output jsonb,
  p_usage jsonb,
  p_charge integer,
  p_token uuid
) returns switchyard.runs
language plpgsql
set search_path = ''
as $$
declare
  v_ended timestamptz := clock_timestamp();
  v_charge integer := 0;
  v_data jsonb;
begin
  if r.credits_owner = 'backend' then
    v_charge := switchyard.hold_close(r.user_id, 'run:' || r.id, p_charge);
  end if;

  v_data := jsonb_build_object(
    'response', p_response,
    'creditsUsed', v_charge,
    'executionTime', coalesce(
      switchyard.epoch_ms(v_ended) - switchyard.epoch_ms(r.started_at), 0
    )
  );
  if p_status = 'succeeded' then
    v_data := v_data || jsonb_build_object('usage', p_usage);
    if p_output is not null then
      v_data := v_data || jsonb_build_object('output', p_output);
    end if;
  else
    v_data := v_data || jsonb_build_object('error', p_error, 'code', p_code);
  end if;
  insert into switchyard.events (run_id, seq, type, data)
  values (r.id, r.last_seq + 1, case p_status when 'succeeded' then 'done' else p_status end, v_data);

  -- Whoever deletes the user holds that row and waits for this run: the foreign key must not wait for it.
  if v_charge > 0 or r.credits_owner = 'caller' then
    insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata)
    select r.user_id, r.agent_id, case r.credits_owner when 'caller' then greatest(p_charge, 0) else v_charge end,
      'agent_execution',
      jsonb_build_object('run_id', r.id, 'kind', r.kind, 'status', p_status, 'usage', p_usage)
    where exists (select from auth.users u where u.id = r.user_id for key share skip locked);
  end if;

  update switchyard.runs
  set status = p_status,
      code = p_code,
      error = p_error,
      response = p_response,
      output = p_output,
      usage = p_usage,
      charged_credits = v_charge,
      ended_at = v_ended,
      lease_until = null,
      lease_token = p_token,
      last_seq = r.last_seq + 1
  where id = r.id
  returning * into r;
  return r;
end
$$;

comment on function switchyard.run_end is
  'Ends a run: terminal event, status, settlement. p_token is kept for a repeated finish; null ends all authority.';

create function switchyard.run_claim(r switchyard.runs, p_worker text, p_token uuid, p_lease_s double precision)
returns switchyard.runs
language sql
set search_path = ''
as $$
  update switchyard.runs
  set status = 'running',
      epoch = epoch + 1,
      claims = claims + 1,
      attempts = attempts + 1,
      worker = p_worker,
      lease_token = p_token,
      lease_until = clock_timestamp() + make_interval(secs => p_lease_s),
      started_at = coalesce(started_at, clock_timestamp()),
      counted_from = clock_timestamp()
  where id = r.id
  returning *
$$;

comment on function switchyard.run_claim is 'Gives a locked, queued run to a worker under a fresh token.';

create function switchyard.uncounted_ms(r switchyard.runs) returns bigint
language sql volatile
set search_path = ''
as $$
  select greatest(switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(r.counted_from), 0)
$$;

comment on function switchyard.uncounted_ms is 'Milliseconds this claim has executed since they were last counted.';

-- What a worker needs to go on: the snapshot, the journal, and for every step that has events but no result
-- the number before its first event, so that clients can be told what to forget. Results are handed over up to
-- 4 MB together; the rest is read when it is asked for, because a claim that is too large would fail for ever.
create function switchyard.claim_json(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', r.id,
    'user_id', r.user_id,
    'agent_id', r.agent_id,
    'kind', r.kind,
    'agent', r.agent,
    'messages', r.messages,
    'input', r.input,
    'conversation_id', r.conversation_id,
    'token', r.lease_token,
    'epoch', r.epoch,
    'last_seq', r.last_seq,
    'hold_credits', r.hold_credits,
    'accrued_credits', r.accrued_credits,
    'usage', r.usage,
    'cancel_requested', r.cancel_requested_at is not null,
    'waited_ms', switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(r.queued_at),
    'executed_ms', r.executed_ms,
    'deadline_in_ms', switchyard.epoch_ms(r.deadline_at) - switchyard.epoch_ms(clock_timestamp()),
    'steps', coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', s.name,
        'blob', s.blob,
        'is_here', s.total_bytes <= 4000000,
        'result', case when s.total_bytes <= 4000000 then s.result end
      ))
      from (
        select name, blob, result, sum(size_bytes) over (order by finished_at, name) as total_bytes
        from switchyard.steps
        where run_id = r.id
      ) s
    ), '[]'),
    'unfinished', coalesce((
      select jsonb_object_agg(u.step, u.first_seq - 1)
      from (
        select e.data ->> 'step' as step, min(e.seq) as first_seq
        from switchyard.events e
        where r.epoch > 1
          and e.run_id = r.id
          and e.data ? 'step'
          and e.type <> 'retry'
          and not exists (
            select 1 from switchyard.steps s where s.run_id = r.id and s.name = e.data ->> 'step'
          )
        group by 1
      ) u
    ), '{}')
  )
$$;

comment on function switchyard.claim_json is 'A claimed run as its worker gets it.';

create function switchyard.agent_snapshot(a public.agents) returns jsonb
language sql immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', a.id,
    'owner_id', a.user_id,
    'name', a.name,
    'description', a.description,
    'kind', a.kind,
    'is_heavy', a.is_heavy,
    'is_published', a.is_published,
    'system_prompt', a.system_prompt,
    'ai_model', a.ai_model,
    'temperature', a.temperature,
    'max_tokens', a.max_tokens,
    'knowledge_base', a.knowledge_base,
    'price', a.price,
    'config', a.config,
    'tools', a.tools
  )
$$;

comment on function switchyard.agent_snapshot is 'What of an agent a run keeps; price in whole credits.';

create function switchyard.agent_visible(p_user_id uuid, p_agent_id uuid) returns public.agents
language plpgsql stable
set search_path = ''
as $$
declare
  a public.agents;
begin
  select * into a from public.agents
  where id = p_agent_id
    and (is_published or user_id = p_user_id)
    and coalesce(status, 'active') = 'active';
  if not found then
    perform switchyard.refuse('PT404', 'agent_not_found', 'no such agent, or it is neither published nor yours');
  end if;
  return a;
end
$$;

comment on function switchyard.agent_visible is 'The agent, if the user may run it; somebody else''s reads as unknown.';

create function public.switchyard_agents_get(p_user_id uuid, p_agent_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select switchyard.agent_snapshot(switchyard.agent_visible(p_user_id, p_agent_id))
$$;

comment on function public.switchyard_agents_get is 'An agent the user may run, or PT404.';

create function public.switchyard_agents_list(p_user_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', a.id,
    'name', a.name,
    'description', a.description,
    'kind', a.kind,
    'is_heavy', a.is_heavy,
    'is_published', a.is_published,
    'is_own', a.user_id = p_user_id,
    'price', a.price
  ) order by a.user_id = p_user_id desc, a.name, a.id), '[]')
  from (
    select * from public.agents
    where (user_id = p_user_id or is_published) and coalesce(status, 'active') = 'active'
    order by user_id = p_user_id desc, name, id
    limit 500
  ) a
$$;

comment on function public.switchyard_agents_list is 'The user''s own agents and the published ones, at most 500.';

create function switchyard.key_run(p_user_id uuid, p_key text, p_body_hash text) returns switchyard.runs
language plpgsql stable
set search_path = ''
as $$
declare
  v_before switchyard.request_keys;
  r switchyard.runs;
begin
  select * into v_before from switchyard.request_keys where user_id = p_user_id and key = p_key;
  if not found then
    return null;
  end if;
  if v_before.body_hash <> p_body_hash then
    perform switchyard.refuse('PT422', 'key_conflict', 'this Idempotency-Key was used before with another body');
  end if;
  select * into r from switchyard.runs where id = v_before.run_id;
  if not found then
    perform switchyard.refuse('PT404', 'run_not_found', 'the run of this Idempotency-Key is no longer kept');
  end if;
  return r;
end
$$;

comment on function switchyard.key_run is 'The run an idempotency key has made, null when it has made none; PT422 for another body.';

create function public.switchyard_runs_join(p_user_id uuid, p_key text, p_body_hash text) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select switchyard.run_json(r) from switchyard.key_run(p_user_id, p_key, p_body_hash) r where r.id is not null
$$;

comment on function public.switchyard_runs_join is
  'The run of an earlier request with this key, whatever has become of its agent since; null when there is none.';

create function public.switchyard_runs_submit(
  p_run_id uuid,
  p_user_id uuid,
  p_agent_id uuid,
  p_agent jsonb,
  p_messages jsonb,
  p_input jsonb,
  p_input_base64 text,
  p_conversation_id uuid,
  p_metadata jsonb,
  p_key text,
  p_body_hash text,
  p_credits_owner text,
  p_hold_credits integer,
  p_deadline_s double precision,
  p_queue_deadline_s double precision,
  p_worker text,
  p_token uuid,
  p_lease_s double precision
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
  v_now timestamptz := clock_timestamp();
  v_claim boolean := p_worker is not null;
begin
  -- The same call again, because its answer was lost: p_run_id is the caller's own, fresh number. The first
  -- call may still be at work; its end is waited for.
  perform pg_advisory_xact_lock(hashtextextended(p_run_id::text, 0));
  select * into r from switchyard.runs where id = p_run_id and user_id = p_user_id;
  if found then
    return jsonb_build_object(
      'joined', false,
      'run', switchyard.run_json(r),
      'claim', case when r.lease_token = p_token and r.status = 'running' then switchyard.claim_json(r) end
    );
  end if;

  if p_key is not null then
    insert into switchyard.request_keys (user_id, key, run_id, body_hash)
    values (p_user_id, p_key, p_run_id, p_body_hash)
    on conflict (user_id, key) do nothing;
    if not found then
      r := switchyard.key_run(p_user_id, p_key, p_body_hash);
      return jsonb_build_object('joined', true, 'run', switchyard.run_json(r), 'claim', null);
    end if;
  end if;

  if p_agent_id is not null then
    perform switchyard.agent_visible(p_user_id, p_agent_id);
  end if;
  perform switchyard.limits_take(p_user_id);

  -- Runs that wait go first; a fresh one must not slip past them.
  v_claim := v_claim and not exists (
    select 1 from switchyard.runs q where q.status = 'queued' and q.kind = p_agent ->> 'kind'
  );

  insert into switchyard.runs (
    id, user_id, agent_id, kind, status, agent, messages, input, conversation_id, metadata,
    credits_owner, hold_credits, created_at, queued_at, queue_deadline_at, deadline_at, last_seq
  )
  values (
    p_run_id, p_user_id, p_agent_id, p_agent ->> 'kind', 'queued', p_agent, p_messages,
    case when p_input_base64 is null then p_input end, p_conversation_id, p_metadata,
    p_credits_owner, p_hold_credits, v_now, v_now,
    v_now + make_interval(secs => p_queue_deadline_s), v_now + make_interval(secs => p_deadline_s), 1
  )
  returning * into r;
  insert into switchyard.events (run_id, seq, type, data)
  values (r.id, 1, 'started', jsonb_build_object('agentId', p_agent_id));
  if p_input_base64 is not null then
    insert into switchyard.blobs (run_id, owner, purpose, name, media_type, size_bytes, bytes)
    select r.id, p_user_id, 'input', 'input.json', 'application/json', octet_length(b), b
    from decode(p_input_base64, 'base64') b;
  end if;
  if p_credits_owner = 'backend' and p_hold_credits > 0 then
    perform switchyard.hold_open(p_user_id, p_hold_credits, 'run:' || r.id, r.id);
  end if;
  if v_claim then
    r := switchyard.run_claim(r, p_worker, p_token, p_lease_s);
  end if;
  return jsonb_build_object(
    'joined', false,
    'run', switchyard.run_json(r),
    'claim', case when v_claim then switchyard.claim_json(r) end
  );
end
$$;

comment on function public.switchyard_runs_submit is
  'Accepts a run in one transaction: idempotency, agent, plan limits, hold, row, first event, and a claim if a worker asks. p_deadline_s null: none.';

-- Oldest first; while others wait, one user holds at most half of a worker's slots. Who holds that much is
-- known before the queue is read, so that a long queue of one user costs one pass, not one a run.
create function public.switchyard_runs_claim(
  p_worker text, p_kinds text[], p_limit integer, p_slots integer, p_lease_s double precision
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_most constant integer := greatest(p_slots / 2, 1);
  r switchyard.runs;
  v_full uuid[];
  v_others_wait boolean := true;
  v_claimed jsonb := '[]';
begin
  select coalesce(array_agg(f.user_id), '{}') into v_full
  from (
    select user_id from switchyard.runs
    where status = 'running' and worker = p_worker
    group by user_id
    having count(*) >= c_most
  ) f;

  for i in 1 .. p_limit loop
    if v_others_wait then
      select q.* into r
      from switchyard.runs q
      where q.status = 'queued' and q.kind = any (p_kinds) and q.user_id <> all (v_full)
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      v_others_wait := found;
    end if;
    if not v_others_wait then
      select q.* into r
      from switchyard.runs q
      where q.status = 'queued' and q.kind = any (p_kinds)
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      exit when not found;
    end if;
    r := switchyard.run_claim(r, p_worker, gen_random_uuid(), p_lease_s);
    v_claimed := v_claimed || switchyard.claim_json(r);
    if v_others_wait and c_most <= (
      select count(*) from switchyard.runs
      where status = 'running' and worker = p_worker and user_id = r.user_id
    ) then
      v_full := v_full || r.user_id;
    end if;
  end loop;
  return v_claimed;
end
$$;

comment on function public.switchyard_runs_claim is 'Leases up to p_limit queued runs to the worker, each under a fresh token.';

-- A row that somebody else has locked is passed over, neither renewed nor lost: one long transaction must not
-- cost a process all its leases. The worker asks again soon.
create function public.switchyard_runs_heartbeat(p_worker text, p_leases jsonb, p_lease_s double precision)
returns jsonb
language sql security definer
set search_path = ''
as $$
  with asked as (
    select l.run_id, l.token from jsonb_to_recordset(p_leases) as l (run_id uuid, token uuid)
  ),
  held as (
    select r.id, r.cancel_requested_at
    from switchyard.runs r
    join asked a on a.run_id = r.id and a.token = r.lease_token
    where r.status = 'running' and r.worker = p_worker
  ),
  locked as (
    select r.id
    from switchyard.runs r
    join asked a on a.run_id = r.id and a.token = r.lease_token
    where r.status = 'running' and r.worker = p_worker
    order by r.id
    for no key update of r skip locked
  ),
  renewed as (
    update switchyard.runs r
    set lease_until = clock_timestamp() + make_interval(secs => p_lease_s)
    from locked
    where r.id = locked.id
    returning r.id
  )
  select jsonb_build_object(
    'renewed', coalesce((select jsonb_agg(id) from renewed), '[]'),
    'lost', coalesce((
      select jsonb_agg(a.run_id) from asked a where a.run_id not in (select id from held)
    ), '[]'),
    'cancel', coalesce((select jsonb_agg(id) from held where cancel_requested_at is not null), '[]'),
    'now_ms', switchyard.epoch_ms(clock_timestamp())
  )
$$;

comment on function public.switchyard_runs_heartbeat is
  'Renews the leases [{run_id, token}] of a worker; answers which were renewed, which are lost and which were asked to cancel.';

create function public.switchyard_runs_release(p_run_id uuid, p_token uuid, p_events jsonb, p_queue_deadline_s double precision)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs
  where id = p_run_id and status = 'running' and lease_token = p_token
  for no key update;
  if not found then
    return jsonb_build_object('released', false);
  end if;
  update switchyard.runs
  set status = 'queued',
      last_seq = switchyard.events_add(r.id, r.last_seq, p_events),
      executed_ms = executed_ms + switchyard.uncounted_ms(r),
      claims = greatest(claims - 1, 0),
      attempts = greatest(attempts - 1, 0),
      worker = null,
      lease_token = null,
      lease_until = null,
      queue_deadline_at = clock_timestamp() + make_interval(secs => p_queue_deadline_s)
  where id = r.id;
  return jsonb_build_object('released', true);
end
$$;

comment on function public.switchyard_runs_release is
  'Gives a run back at a shutdown, in its old place in the queue; that claim does not count.';

create function public.switchyard_runs_finish(
  p_run_id uuid,
  p_token uuid,
  p_status text,
  p_code text,
  p_error text,
  p_response text,
  p_output jsonb,
  p_usage jsonb,
  p_charge_credits integer,
  p_events jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs where id = p_run_id and lease_token = p_token for no key update;
  if not found then
    return jsonb_build_object('finished', false);
  end if;
  if r.status = 'running' then
    r.last_seq := switchyard.events_add(r.id, r.last_seq, p_events);
    r := switchyard.run_end(
      r, p_status, p_code, p_error, p_response, p_output, p_usage, p_charge_credits, p_token
    );
  end if;
  return jsonb_build_object(
    'finished', true,
    'run', switchyard.run_json(r),
    'event', (
      select jsonb_build_object('seq', e.seq, 'type', e.type, 'data', e.data)
      from switchyard.events e
      where e.run_id = r.id and e.seq = r.last_seq
    )
  );
end
$$;

comment on function public.switchyard_runs_finish is
  'Ends a run by its leaseholder: last events, terminal event, status, settlement. Repeating it answers the same.';

create function public.switchyard_runs_cancel(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs where id = p_run_id and user_id = p_user_id for no key update;
  if not found then
    perform switchyard.refuse('PT404', 'run_not_found', 'no such run, or it is not yours');
  end if;
  if switchyard.is_terminal(r.status) then
    return jsonb_build_object('already_ended', true, 'run', switchyard.run_json(r));
  end if;
  update switchyard.runs
  set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
  where id = r.id
  returning * into r;
  if r.status = 'queued' then
    r := switchyard.run_cancelled(r);
  end if;
  return jsonb_build_object('already_ended', false, 'run', switchyard.run_json(r));
end
$$;

comment on function public.switchyard_runs_cancel is 'Ends a queued run at once; asks the worker of a running one to stop.';

create function switchyard.run_cancelled(r switchyard.runs) returns switchyard.runs
language sql
set search_path = ''
as $$
  select switchyard.run_end(
    r, 'cancelled', 'cancelled', 'cancelled by the user', null, null, r.usage, r.accrued_credits, null
  )
$$;

comment on function switchyard.run_cancelled is 'Cancelled without a worker: charges what was journaled, nothing before the first claim.';

create function switchyard.run_failed(r switchyard.runs, p_code text, p_error text) returns switchyard.runs
language sql
set search_path = ''
as $$
  select switchyard.run_end(r, 'failed', p_code, p_error, null, null, r.usage, 0, null)
$$;

comment on function switchyard.run_failed is 'Failed by the platform: charges nothing.';

-- What has no worker any more, or has waited too long. Rows in use elsewhere are skipped, so every replica
-- may run this at any time. User by user, so that two of them lock accounts in the same order.
create function public.switchyard_runs_reap(p_limit integer, p_queue_deadline_s double precision) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_max_attempts constant integer := 3;
  c_max_claims constant integer := 20;
  r switchyard.runs;
  v_now timestamptz := clock_timestamp();
  v_reaped jsonb := '[]';
  v_outcome text;
begin
  for r in
    select * from switchyard.runs
    where (status = 'running' and lease_until < v_now)
      or (status = 'queued' and (queue_deadline_at < v_now or deadline_at < v_now))
    order by user_id, id
    limit p_limit
    for no key update skip locked
  loop
    if r.status = 'queued' then
      v_outcome := 'deadline_exceeded';
      perform switchyard.run_failed(r, v_outcome, 'the run waited longer than its deadline');
    elsif r.cancel_requested_at is not null then
      v_outcome := 'cancelled';
      perform switchyard.run_cancelled(r);
    elsif r.deadline_at < v_now then
      v_outcome := 'deadline_exceeded';
      perform switchyard.run_failed(r, v_outcome, 'the run passed its deadline');
    elsif r.attempts >= c_max_attempts or r.claims >= c_max_claims then
      v_outcome := 'poison';
      perform switchyard.run_failed(r, v_outcome, format('its worker was lost %s times', r.claims));
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
    v_reaped := v_reaped || jsonb_build_object('run_id', r.id, 'kind', r.kind, 'outcome', v_outcome);
  end loop;
  return v_reaped;
end
$$;

comment on function public.switchyard_runs_reap is
  'Expired leases back to the queue, or to an end: cancelled where asked, deadline_exceeded, or poison after 3 claims in a row without a step.';

create function public.switchyard_runs_purge(p_keep_days integer, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_runs integer;
  v_keys integer;
begin
  delete from switchyard.runs
  where id in (
    select id from switchyard.runs
    where ended_at < clock_timestamp() - make_interval(days => p_keep_days)
    order by ended_at
    limit p_limit
    for update skip locked
  );
  get diagnostics v_runs = row_count;
  delete from switchyard.request_keys
  where (user_id, key) in (
    select user_id, key from switchyard.request_keys
    where created_at < clock_timestamp() - interval '90 days'
    limit p_limit
    for update skip locked
  );
  get diagnostics v_keys = row_count;
  delete from switchyard.blobs
  where id in (
    select id from switchyard.blobs
    where expires_at < clock_timestamp()
    limit p_limit
    for update skip locked
  );
  return jsonb_build_object('runs', v_runs, 'keys', v_keys);
end
$$;

comment on function public.switchyard_runs_purge is
  'Removes up to p_limit runs that ended p_keep_days ago, with all they left, and keys older than 90 days.';

create function switchyard.user_deleted() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  -- All runs before the account: the loop alone would lock them a few at a time.
  perform from switchyard.runs
  where user_id = old.id and status in ('queued', 'running')
  order by id
  for no key update;

  for r in
    select * from switchyard.runs
    where user_id = old.id and status in ('queued', 'running')
    order by id
  loop
    update switchyard.runs
    set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
    where id = r.id
    returning * into r;
    if r.status = 'queued' then
      perform switchyard.run_cancelled(r);
    end if;
  end loop;
  return old;
end
$$;

comment on function switchyard.user_deleted is 'Cancels the runs of a user who is deleted.';

create trigger switchyard_user_deleted before delete on auth.users
  for each row execute function switchyard.user_deleted();

revoke all on all functions in schema switchyard from public, anon, authenticated;
revoke all on function
  public.switchyard_agents_get(uuid, uuid),
  public.switchyard_agents_list(uuid),
  public.switchyard_runs_join(uuid, text, text),
  public.switchyard_runs_submit(
    uuid, uuid, uuid, jsonb, jsonb, jsonb, text, uuid, jsonb, text, text, text, integer, double precision,
    double precision, text, uuid, double precision
  ),
  public.switchyard_runs_claim(text, text[], integer, integer, double precision),
  public.switchyard_runs_heartbeat(text, jsonb, double precision),
  public.switchyard_runs_release(uuid, uuid, jsonb, double precision),
  public.switchyard_runs_finish(uuid, uuid, text, text, text, text, jsonb, jsonb, integer, jsonb),
  public.switchyard_runs_cancel(uuid, uuid),
  public.switchyard_runs_reap(integer, double precision),
  public.switchyard_runs_purge(integer, integer)
from public, anon, authenticated;
grant execute on function
  public.switchyard_agents_get(uuid, uuid),
  public.switchyard_agents_list(uuid),
  public.switchyard_runs_join(uuid, text, text),
  public.switchyard_runs_submit(
    uuid, uuid, uuid, jsonb, jsonb, jsonb, text, uuid, jsonb, text, text, text, integer, double precision,
    double precision, text, uuid, double precision
  ),
  public.switchyard_runs_claim(text, text[], integer, integer, double precision),
  public.switchyard_runs_heartbeat(text, jsonb, double precision),
  public.switchyard_runs_release(uuid, uuid, jsonb, double precision),
  public.switchyard_runs_finish(uuid, uuid, text, text, text, text, jsonb, jsonb, integer, jsonb),
  public.switchyard_runs_cancel(uuid, uuid),
  public.switchyard_runs_reap(integer, double precision),
  public.switchyard_runs_purge(integer, integer)
to service_role;
