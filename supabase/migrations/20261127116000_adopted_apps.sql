-- Tables that an app had before us: their columns may be null where ours are not, their usage may have fractions, and
-- their rules are their own.

-- A rule of the app's may keep no run from ending.

create function switchyard.usage_note(r switchyard.runs, p_credits integer, p_metadata jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  -- Whoever deletes the user holds that row and waits for this run: the foreign key must not wait for it.
  perform from auth.users u where u.id = r.user_id for key share skip locked;
  if not found then
    return;
  end if;
  begin
    insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata)
    values (r.user_id, r.agent_id, p_credits, 'agent_execution', p_metadata);
  exception
    -- The agent is gone, or never had a row, and the app's table wants one.
    when foreign_key_violation then
      insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (
        r.user_id, p_credits, 'agent_execution', p_metadata || jsonb_build_object('agent_id', r.agent_id)
      );
  end;
exception
  when integrity_constraint_violation then
    raise warning 'what run % has used is not in credit_usage: %', r.id, sqlerrm;
end
$$;

comment on function switchyard.usage_note is
  'Tells the app what a run has cost, unless its table refuses; the ledger knows anyway.';

-- As before, but for the usage.
create or replace function switchyard.run_close(
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

  if v_charge > 0 or r.credits_owner = 'caller' then
    perform switchyard.usage_note(
      r,
      case r.credits_owner when 'caller' then greatest(p_charge, 0) else v_charge end,
      jsonb_build_object('run_id', r.id, 'kind', r.kind, 'status', p_status, 'usage', p_usage)
    );
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

revoke all on function switchyard.usage_note(switchyard.runs, integer, jsonb) from public, anon, authenticated;

-- What a row leaves open is no.
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
    'tools', a.tools
  )
$$;

create or replace function public.switchyard_agents_list(p_user_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', a.id,
    'name', a.name,
    'description', a.description,
    'kind', a.kind,
    'is_heavy', coalesce(a.is_heavy, false),
    'is_published', coalesce(a.is_published, false),
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

create or replace function public.switchyard_keys_list(p_user_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'id', a.id,
    'name', a.key_name,
    'prefix', a.key_prefix,
    'is_active', coalesce(a.is_active, false),
    'created_ms', switchyard.epoch_ms(a.created_at),
    'last_used_ms', switchyard.epoch_ms(a.last_used_at)
  ) order by coalesce(a.is_active, false) desc, a.created_at desc, a.id desc), '[]')
  from (
    select * from public.api_keys
    where user_id = p_user_id
    order by coalesce(is_active, false) desc, created_at desc, id desc
    limit 200
  ) a
$$;

-- Whole credits, whatever the app's own rows have: what was begun is counted in full.
create or replace function switchyard.agent_usage_of(p_agent_id uuid) returns jsonb
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

  select coalesce(ceil(sum(u.credits_used)), 0), count(*) into v_credits, v_calls
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
      'total_credits', coalesce(v_before.credits, 0) + v_credits + coalesce(ceil(sum(u.credits_used)), 0)::bigint,
      'total_calls', coalesce(v_before.calls, 0) + v_calls + count(*)
    )
    from public.credit_usage u
    where u.agent_id = p_agent_id and u.created_at > c_settled
  );
end
$$;

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
      'credits_used', ceil(n.credits_used)::bigint,
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
