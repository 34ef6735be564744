-- What whoever answers at the edge needs: one look before it decides, and holds that end even if nobody ends them.
--
-- Keys of requests are chosen by clients. A key that paid for an answer must not pay for a run as well, so whoever
-- holds puts a word before it: `light:<key>` for an answer, `heavy:<n>:<key>` for a run that its caller is charged
-- for, where n is 1, or higher once the holds before it were released.

create table switchyard.request_holds (
  user_id uuid not null,
  key text not null,
  held_at timestamptz not null,
  primary key (user_id, key)
);

create index request_holds_age_idx on switchyard.request_holds (held_at);

comment on table switchyard.request_holds is
  'Holds of requests that are open: the ledger knows them too, among all that have ended.';
comment on column switchyard.request_holds.key is 'As the request gave it; the ledger has it as request:<key>:hold.';

alter table switchyard.request_holds enable row level security;

insert into switchyard.request_holds (user_id, key, held_at)
select l.user_id, substring(l.key from 9 for length(l.key) - 13), l.created_at
from switchyard.ledger l
where l.kind = 'hold'
  and l.run_id is null
  and l.key like 'request:%:hold'
  and not exists (select from switchyard.ledger c where c.user_id = l.user_id and c.hold_key = l.key);

create or replace function public.switchyard_credits_hold(p_user_id uuid, p_credits integer, p_key text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_key text := 'request:' || p_key;
  v_before integer;
  v_charged integer;
  v_is_new boolean;
begin
  perform switchyard.check_credits(p_credits);
  perform switchyard.available(p_user_id);
  select l.held into v_before from switchyard.ledger l where l.user_id = p_user_id and l.key = v_key || ':hold';
  v_is_new := not found;
  if v_is_new then
    perform switchyard.hold_open(p_user_id, p_credits, v_key);
    insert into switchyard.request_holds (user_id, key, held_at) values (p_user_id, p_key, clock_timestamp());
  else
    perform switchyard.check_same_credits(v_before, p_credits);
    select -c.amount into v_charged from switchyard.ledger c
    where c.user_id = p_user_id and c.hold_key = v_key || ':hold';
  end if;
  return switchyard.credits_of(p_user_id) || jsonb_build_object('is_new', v_is_new, 'charged', v_charged);
end
$$;

comment on function public.switchyard_credits_hold is
  'Holds credits for a request that is not a run; once a key. Answers the account with is_new, false when the key was held before, and charged: null while the hold is open, then what it ended with, 0 when it was released.';

create function switchyard.request_close(p_user_id uuid, p_key text, p_credits integer) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_charged integer := switchyard.hold_close(p_user_id, 'request:' || p_key, p_credits);
begin
  -- After the account's lock, as everybody does, so that no two wait for each other.
  delete from switchyard.request_holds where user_id = p_user_id and key = p_key;
  return switchyard.credits_of(p_user_id) || jsonb_build_object('charged', v_charged);
end
$$;

comment on function switchyard.request_close is 'Ends the hold of a request with a charge of 0 or more; once a key.';

create or replace function public.switchyard_credits_settle(p_user_id uuid, p_key text, p_credits integer) returns jsonb
language sql security definer
set search_path = ''
as $$
  select switchyard.request_close(p_user_id, p_key, p_credits)
$$;

create or replace function public.switchyard_credits_release(p_user_id uuid, p_key text) returns jsonb
language sql security definer
set search_path = ''
as $$
  select switchyard.request_close(p_user_id, p_key, 0)
$$;

-- Accounts are locked in one order, and by one call at a time: others answer that there is nothing.
create function public.switchyard_credits_expire(p_after_s double precision, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  h record;
  v_released integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('switchyard.expire', 0)) then
    return jsonb_build_object('released', 0, 'more', false);
  end if;
  for h in
    select o.user_id, o.key
    from (
      select r.user_id, r.key
      from switchyard.request_holds r
      where r.held_at < clock_timestamp() - make_interval(secs => p_after_s)
      order by r.held_at
      limit p_limit
    ) o
    order by o.user_id, o.key
  loop
    perform switchyard.request_close(h.user_id, h.key, 0);
    v_released := v_released + 1;
  end loop;
  return jsonb_build_object('released', v_released, 'more', v_released = p_limit);
end
$$;

comment on function public.switchyard_credits_expire is
  'Releases up to p_limit holds of requests that nobody has ended in p_after_s seconds; `more` says that there may be more.';

-- A light agent is answered from what this says, so all of it has a bound; of a heavy one only what decides is told.
create function switchyard.functions_of(p_agent_id uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_count bigint;
  v_bytes bigint;
begin
  select count(*), sum(
    octet_length(f.name)
    + octet_length(coalesce(array_to_string(f.trigger_keywords, ' '), ''))
    + case
      when pg_column_size(f.config) > 4000000 then pg_column_size(f.config)
      else coalesce(octet_length(f.config::text), 0)
    end
  )
  into v_count, v_bytes
  from public.agent_functions f
  where f.agent_id = p_agent_id and f.is_enabled;
  if v_count > 100 or v_bytes > 1000000 then
    perform switchyard.refuse('PT503', 'not_configured',
      'the agent has more than 100 functions, or more than 1,000,000 bytes of them; its owner has to remove some');
  end if;
  return coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', f.name,
      'function_type', f.function_type,
      'trigger_keywords', coalesce(f.trigger_keywords, '{}'),
      'config', coalesce(f.config, '{}')
    ) order by f.execution_order, f.created_at, f.id)
    from public.agent_functions f
    where f.agent_id = p_agent_id and f.is_enabled
  ), '[]');
end
$$;

comment on function switchyard.functions_of is
  'The enabled functions of an agent in their order; refused with PT503 beyond 100 of them or 1,000,000 bytes.';

create function switchyard.agent_route(p_user_id uuid, p_agent_id uuid) returns jsonb
language plpgsql stable
set search_path = ''
as $$
declare
  v_found jsonb;
  v_told jsonb;
begin
  select jsonb_build_object(
    'id', a.id,
    'name', a.name,
    'is_published', coalesce(a.is_published, false),
    'is_owned', a.user_id = p_user_id,
    'is_heavy', coalesce(a.is_heavy, false),
    'railway_url', a.railway_url,
    'kind', a.kind,
    'system_prompt', null,
    'ai_model', a.ai_model,
    'temperature', a.temperature,
    'max_tokens', a.max_tokens,
    'knowledge_base', '[]'::jsonb,
    'price', a.price,
    'config', '{}'::jsonb,
    'functions', '[]'::jsonb
  )
  into v_found
  from public.agents a
  where a.id = p_agent_id
    and (a.is_published or a.user_id = p_user_id)
    and coalesce(a.status, 'active') = 'active';
  if v_found is null or (v_found ->> 'is_heavy')::boolean then
    return v_found;
  end if;

  perform switchyard.agent_bounded(p_agent_id);
  select jsonb_build_object(
    'system_prompt', a.system_prompt,
    'knowledge_base', a.knowledge_base,
    'config', a.config,
    'functions', switchyard.functions_of(a.id)
  )
  into v_told
  from public.agents a
  where a.id = p_agent_id;
  return v_found || coalesce(v_told, '{}');
end
$$;

comment on function switchyard.agent_route is
  'An agent the user may run, as far as the edge needs it; null when there is none. PT503 when a light one is too large.';

create function public.switchyard_agents_route(p_user_id uuid, p_agent_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'available', switchyard.credits_of(p_user_id) -> 'available',
    'agent', switchyard.agent_route(p_user_id, p_agent_id)
  )
$$;

comment on function public.switchyard_agents_route is
  'What decides where a request goes: {available, agent}, in whole credits, agent null when it is unknown, inactive, or neither published nor the user''s own. A heavy agent''s system_prompt, knowledge_base, config and functions are left out. PT503 when a light one is too large.';

-- An edge function lives 400 s at most; what is open after a quarter of an hour is released by whoever sweeps.
create or replace function public.switchyard_audit() returns jsonb
language sql stable security definer
set search_path = ''
as $$
  with
  unbegun_calls as (
    select 'journaled call that was never begun' as rule, s.run_id || ' ' || s.name as subject
    from switchyard.steps s
    where s.result ->> 'modelCall' is not null
      and not exists (
        select 1 from switchyard.calls c
        where c.id = s.result ->> 'modelCall' and c.run_id = s.run_id and c.step = s.name
      )
  ),
  double_calls as (
    select 'call journaled by two steps', s.result ->> 'modelCall'
    from switchyard.steps s
    where s.result ->> 'modelCall' is not null
    group by s.result ->> 'modelCall'
    having count(*) > 1
  ),
  forgotten_holds as (
    select 'hold of a request that nobody ended', l.user_id || ' ' || l.key
    from switchyard.ledger l
    where l.kind = 'hold'
      and l.key like 'request:%'
      and l.created_at < clock_timestamp() - interval '20 minutes'
      and not exists (select 1 from switchyard.ledger c where c.user_id = l.user_id and c.hold_key = l.key)
  ),
  unknown_holds as (
    select 'open hold of a request that would never be released', l.user_id || ' ' || l.key
    from switchyard.ledger l
    where l.kind = 'hold'
      and l.key like 'request:%'
      and not exists (select 1 from switchyard.ledger c where c.user_id = l.user_id and c.hold_key = l.key)
      and not exists (
        select 1 from switchyard.request_holds h
        where h.user_id = l.user_id and 'request:' || h.key || ':hold' = l.key
      )
  )
  select switchyard.audit_runs() || coalesce((
    select jsonb_agg(jsonb_build_object('rule', v.rule, 'subject', v.subject))
    from (
      select * from unbegun_calls
      union all select * from double_calls
      union all select * from forgotten_holds
      union all select * from unknown_holds
    ) v
  ), '[]')
$$;

comment on function switchyard.audit_runs is
  'The rules about runs, events and money; switchyard_audit adds those about calls and holds of requests.';

revoke all on all functions in schema switchyard from public, anon, authenticated;
revoke all on function
  public.switchyard_credits_expire(double precision, integer),
  public.switchyard_agents_route(uuid, uuid)
from public, anon, authenticated;
grant execute on function
  public.switchyard_credits_expire(double precision, integer),
  public.switchyard_agents_route(uuid, uuid)
to service_role;
