-- Runs between backends: an agent's own backend is part of what a run keeps of it, and another backend's runs are
-- taken here, counted against that backend instead of a plan of ours.

create or replace function switchyard.agent_snapshot(a public.agents) returns jsonb
language sql immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'id', a.id,
    'owner_id', a.user_id,
    'name', a.name,
    'description', a.description,
    'kind', a.kind,
    'is_heavy', coalesce(a.is_heavy, false),
    'is_published', coalesce(a.is_published, false),
    'system_prompt', a.system_prompt,
    'ai_model', a.ai_model,
    'temperature', a.temperature,
    'max_tokens', a.max_tokens,
    'knowledge_base', a.knowledge_base,
    'price', a.price,
    'config', a.config,
    'tools', a.tools,
    'railway_url', a.railway_url
  )
$$;

create or replace function switchyard.agent_is_given(p_agent jsonb) returns boolean
language sql immutable
set search_path = ''
as $$
  select coalesce(p_agent ->> 'source', '') in ('caller', 'backend')
$$;

comment on function switchyard.agent_is_given is
  'Whether a run''s agent was sent along by a service or another backend that had checked it, and not read from its row.';

create function switchyard.limits_take_for(p_user_id uuid, p_agent jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_agent ->> 'source' = 'backend' then
    perform switchyard.rate_take(
      (p_agent #>> '{backend,id}')::uuid, 60, (p_agent #>> '{backend,runs_per_minute}')::integer
    );
  else
    perform switchyard.limits_take(p_user_id);
  end if;
end
$$;

comment on function switchyard.limits_take_for is
  'Counts a run against its user''s plan; one that another backend sends, which has a plan for its user, against that backend.';

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
  perform switchyard.limits_take_for(p_user_id, p_agent);

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

-- A run that is forwarded marks what it relays with the number that it has there.
create function public.switchyard_events_relayed(p_run_id uuid, p_token uuid, p_upto integer) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_found jsonb;
begin
  if not exists (
    select from switchyard.runs r where r.id = p_run_id and r.lease_token = p_token and r.status = 'running'
  ) then
    return null;
  end if;
  select jsonb_build_object('seq', e.seq, 'relayed', e.data -> '@relayed') into v_found
  from switchyard.events e
  where e.run_id = p_run_id
    and jsonb_typeof(e.data -> '@relayed') = 'number'
    and (p_upto is null or (e.data ->> '@relayed')::numeric <= p_upto)
  order by e.seq desc
  limit 1;
  return coalesce(v_found, jsonb_build_object('seq', 1, 'relayed', 0));
end
$$;

comment on function public.switchyard_events_relayed is
  'Of what a forwarded run has relayed, the last event up to number p_upto there (null: of all): its number here and there. Null: the lease is lost.';

revoke all on function switchyard.limits_take_for(uuid, jsonb) from public, anon, authenticated;
revoke all on function public.switchyard_events_relayed(uuid, uuid, integer) from public, anon, authenticated;
grant execute on function public.switchyard_events_relayed(uuid, uuid, integer) to service_role;
