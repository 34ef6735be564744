-- Runs of agents that need no row here: an edge function has looked the agent up itself, perhaps in a table of its own,
-- and sends the configuration along.

create function switchyard.agent_is_given(p_agent jsonb) returns boolean
language sql immutable
set search_path = ''
as $$
  select coalesce(p_agent ->> 'source', '') = 'caller'
$$;

comment on function switchyard.agent_is_given is
  'Whether a run''s agent was sent along by a service that had checked it, and not read from its row.';

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

create function public.switchyard_agents_price(p_agent_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select a.price from public.agents a where a.id = p_agent_id
$$;

comment on function public.switchyard_agents_price is
  'The price on an agent''s row, whoever may run it; null where there is no such row.';

revoke all on function switchyard.agent_is_given(jsonb) from public, anon, authenticated;
revoke all on function public.switchyard_agents_price(uuid) from public, anon, authenticated;
grant execute on function public.switchyard_agents_price(uuid) to service_role;
