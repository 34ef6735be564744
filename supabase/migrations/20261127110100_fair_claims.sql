-- Who is given a slot: nobody is shut out by somebody who has many, neither a user by a user nor a kind by a kind.
--
-- While others wait, one user holds at most half of a worker's slots, and one kind at most half. A claim takes the
-- oldest run of the first of these that has one:
--
--   1. neither its user nor its kind holds half        3. its user holds half, its kind does not
--   2. its kind holds half, its user does not          4. both hold half
--
-- so that users go before kinds, and no slot stays empty while any run waits.

-- A long queue of one user who holds half must not be read to its end to find somebody else. Of each kind the first
-- c_look are looked at; behind them c_look users, from a random one on, so that with more of them each has a chance.
create function switchyard.oldest_behind(p_kinds text[], p_without uuid[]) returns switchyard.runs
language plpgsql
set search_path = ''
as $$
declare
  c_look constant integer := 200;
  c_from constant uuid := gen_random_uuid();
  c_first constant uuid := '00000000-0000-0000-0000-000000000000';
  v_head record;
  r switchyard.runs;
begin
  for v_head in
    with recursive people as (
      select w.kind, f.user_id, f.at as began_at, 1 as number
      from unnest(p_kinds) w (kind)
      cross join lateral (values (c_from), (c_first)) b (at)
      cross join lateral (
        select q.user_id, b.at from switchyard.runs q
        where q.ended_at is null and q.lease_token is null and q.kind = w.kind and q.user_id >= b.at
        order by q.user_id
        limit 1
      ) f
      union all
      select p.kind, n.user_id, p.began_at, p.number + 1
      from people p
      cross join lateral (
        select q.user_id from switchyard.runs q
        where q.ended_at is null and q.lease_token is null and q.kind = p.kind and q.user_id > p.user_id
        order by q.user_id
        limit 1
      ) n
      where p.number < c_look
    )
    select p.kind, p.user_id
    from (select distinct kind, user_id from people where user_id <> all (p_without)) p
    cross join lateral (
      select q.queued_at, q.id from switchyard.runs q
      where q.ended_at is null and q.lease_token is null and q.kind = p.kind and q.user_id = p.user_id
      order by q.queued_at, q.id
      limit 1
    ) h
    order by h.queued_at, h.id
  loop
    select q.* into r from switchyard.runs q
    where q.ended_at is null and q.lease_token is null and q.kind = v_head.kind and q.user_id = v_head.user_id
    order by q.queued_at, q.id
    limit 1
    for no key update skip locked;
    if found then
      return r;
    end if;
  end loop;
  return null;
end
$$;

comment on function switchyard.oldest_behind is
  'A waiting run of somebody else, however long the queues are; the oldest of the users it comes to see.';

create function switchyard.oldest_waiting(p_kinds text[], p_without uuid[]) returns switchyard.runs
language plpgsql
set search_path = ''
as $$
declare
  c_look constant integer := 200;
  v_kind text;
  v_id uuid;
  r switchyard.runs;
begin
  if cardinality(p_without) = 0 then
    for v_kind in
      select w.kind
      from unnest(p_kinds) w (kind)
      cross join lateral (
        select q.queued_at, q.id from switchyard.runs q
        where q.status = 'queued' and q.kind = w.kind
        order by q.queued_at, q.id
        limit 1
      ) h
      order by h.queued_at, h.id
    loop
      select q.* into r from switchyard.runs q
      where q.status = 'queued' and q.kind = v_kind
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      if found then
        return r;
      end if;
    end loop;
    return null;
  end if;

  for v_id in
    select n.id
    from unnest(p_kinds) w (kind)
    cross join lateral (
      select q.user_id, q.queued_at, q.id from switchyard.runs q
      where q.status = 'queued' and q.kind = w.kind
      order by q.queued_at, q.id
      limit c_look
    ) n
    where n.user_id <> all (p_without)
    order by n.queued_at, n.id
  loop
    select q.* into r from switchyard.runs q
    where q.id = v_id and q.status = 'queued'
    for no key update skip locked;
    if found then
      return r;
    end if;
  end loop;
  return switchyard.oldest_behind(p_kinds, p_without);
end
$$;

comment on function switchyard.oldest_waiting is
  'The oldest waiting run of these kinds and of none of these users, locked; null when there is none. Passes over what others have locked.';

-- A run that kills its process takes all others in it along, and after the third time they would all be taken for
-- poison together. So a run that the next loss would end, a suspect, is claimed by itself: nothing else comes with
-- it, and its worker is told, so that it claims nothing beside it either.
create or replace function public.switchyard_runs_claim(
  p_worker text, p_kinds text[], p_limit integer, p_slots integer, p_lease_s double precision
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_most constant integer := greatest(p_slots / 2, 1);
  c_nobody constant uuid[] := '{}';
  -- One less than what makes a run poison: `switchyard_runs_reap`.
  c_suspect constant integer := 2;
  r switchyard.runs;
  -- An entry for each run the worker holds.
  v_users uuid[];
  v_kinds text[];
  v_full uuid[];
  v_free text[];
  v_spent text[];
  -- Whoever does not hold half only becomes fewer while this goes on.
  v_may_be_fair boolean := true;
  v_may_be_others boolean := true;
  v_is_suspect boolean;
  v_claimed jsonb := '[]';
begin
  select coalesce(array_agg(user_id), '{}'), coalesce(array_agg(kind), '{}') into v_users, v_kinds
  from switchyard.runs
  where status = 'running' and worker = p_worker;

  for i in 1 .. p_limit loop
    v_full := array(select u from unnest(v_users) u group by u having count(*) >= c_most);
    v_spent := array(select k from unnest(v_kinds) k where k = any (p_kinds) group by k having count(*) >= c_most);
    v_free := array(select k from unnest(p_kinds) k where k <> all (v_spent));
    r := null;
    if v_may_be_fair then
      r := switchyard.oldest_waiting(v_free, v_full);
      v_may_be_fair := r.id is not null;
    end if;
    if r.id is null and v_may_be_others then
      r := switchyard.oldest_waiting(v_spent, v_full);
      v_may_be_others := r.id is not null;
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_free, c_nobody);
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_spent, c_nobody);
    end if;
    exit when r.id is null;
    v_is_suspect := r.attempts >= c_suspect;
    exit when v_is_suspect and v_claimed <> '[]';
    r := switchyard.run_claim(r, p_worker, gen_random_uuid(), p_lease_s);
    v_claimed := v_claimed || (
      switchyard.claim_json(r) || case when v_is_suspect then '{"is_suspect": true}'::jsonb else '{}' end
    );
    exit when v_is_suspect;
    v_users := v_users || r.user_id;
    v_kinds := v_kinds || r.kind;
  end loop;
  return v_claimed;
end
$$;

comment on function public.switchyard_runs_claim is
  'Leases up to p_limit queued runs to the worker, each under a fresh token; while others wait, a user and a kind hold at most half of p_slots. One that the next loss would end comes alone.';

drop index switchyard.runs_queue_idx;

-- A fresh run takes a free slot only if nobody waits. It used to look at its own kind alone: with a steady flow of one
-- kind every slot that came free was taken at the door, and runs of other kinds waited for ever. It is begun as it is
-- written, so that it leaves no row of a waiting run behind.
create or replace function public.switchyard_runs_submit(
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

  if p_agent_id is not null and not switchyard.agent_is_given(p_agent) then
    perform switchyard.agent_visible(p_user_id, p_agent_id);
  end if;
  perform switchyard.limits_take(p_user_id);

  -- Who waits goes first, whatever kind it is: whose turn it is, only runs_claim knows.
  v_claim := v_claim and not exists (select 1 from switchyard.runs q where q.status = 'queued');

  insert into switchyard.runs (
    id, user_id, agent_id, kind, status, agent, messages, input, conversation_id, metadata,
    credits_owner, hold_credits, created_at, queued_at, queue_deadline_at, deadline_at, last_seq,
    epoch, claims, attempts, worker, lease_token, lease_until, started_at, counted_from
  )
  values (
    p_run_id, p_user_id, p_agent_id, p_agent ->> 'kind', case when v_claim then 'running' else 'queued' end,
    p_agent, p_messages, case when p_input_base64 is null then p_input end, p_conversation_id, p_metadata,
    p_credits_owner, p_hold_credits, v_now, v_now,
    v_now + make_interval(secs => p_queue_deadline_s), v_now + make_interval(secs => p_deadline_s), 1,
    v_claim::integer, v_claim::integer, v_claim::integer, case when v_claim then p_worker end,
    case when v_claim then p_token end, case when v_claim then clock_timestamp() + make_interval(secs => p_lease_s) end,
    case when v_claim then v_now end, case when v_claim then v_now end
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
  return jsonb_build_object(
    'joined', false,
    'run', switchyard.run_json(r),
    'claim', case when v_claim then switchyard.claim_json(r) end
  );
end
$$;

revoke all on function switchyard.oldest_behind(text[], uuid[]) from public, anon, authenticated;
revoke all on function switchyard.oldest_waiting(text[], uuid[]) from public, anon, authenticated;
