-- The tables of the app that Switchyard serves. A project that has them already keeps them with their rows, policies,
-- grants and comments: nothing here drops or rewrites, missing columns are added. What only the engine needs lives in
-- schema switchyard. docs/supabase.md tells what a project with tables of its own gets, and what is refused.

-- First what cannot be adopted, all of it at once and before anything is changed.
do $$
declare
  v_problems text[];
  v_column text;
  v_type_category "char";
  v_condition text;
  v_problem text;
  v_is_found boolean;
begin
  with recursive
  expected (table_name, column_name, types, is_required) as (
    values
      ('agents', 'id', '{uuid}', true),
      ('agents', 'user_id', '{uuid}', true),
      ('agents', 'name', '{text,character varying}', true),
      ('agents', 'description', '{text,character varying}', false),
      ('agents', 'system_prompt', '{text,character varying}', false),
      ('agents', 'ai_model', '{text,character varying}', false),
      ('agents', 'temperature', '{numeric,real,double precision}', false),
      ('agents', 'max_tokens', '{smallint,integer,bigint}', false),
      ('agents', 'knowledge_base', '{jsonb}', false),
      ('agents', 'is_published', '{boolean}', false),
      ('agents', 'status', '{text,character varying}', false),
      ('agents', 'is_heavy', '{boolean}', false),
      ('agents', 'railway_url', '{text,character varying}', false),
      ('agents', 'kind', '{text,character varying}', false),
      ('agents', 'price', '{jsonb}', false),
      ('agents', 'config', '{jsonb}', false),
      ('agents', 'tools', '{jsonb}', false),
      ('credit_balances', 'user_id', '{uuid}', true),
      ('credit_balances', 'credits_remaining', '{smallint,integer,bigint}', true),
      ('credit_balances', 'credits_used_this_month', '{smallint,integer,bigint}', false),
      ('credit_balances', 'plan_type', '{text,character varying}', false),
      ('credit_balances', 'held', '{integer}', false),
      ('credit_balances', 'usage_month', '{date}', false),
      ('credit_usage', 'id', null, true),
      ('credit_usage', 'user_id', '{uuid}', true),
      ('credit_usage', 'agent_id', '{uuid}', false),
      ('credit_usage', 'credits_used', '{smallint,integer,bigint,numeric}', true),
      ('credit_usage', 'operation_type', '{text,character varying}', true),
      ('credit_usage', 'metadata', '{jsonb}', false),
      ('credit_usage', 'created_at', '{timestamp with time zone}', false),
      ('api_keys', 'id', '{uuid}', true),
      ('api_keys', 'user_id', '{uuid}', true),
      ('api_keys', 'key_name', '{text,character varying}', true),
      ('api_keys', 'key_hash', '{text,character varying}', true),
      ('api_keys', 'key_prefix', '{text,character varying}', true),
      ('api_keys', 'last_used_at', '{timestamp with time zone}', false),
      ('api_keys', 'is_active', '{boolean}', false),
      ('api_keys', 'created_at', '{timestamp with time zone}', false),
      ('conversations', 'id', '{uuid}', true),
      ('conversations', 'user_id', '{uuid}', true),
      ('conversations', 'agent_id', '{uuid}', false),
      ('conversations', 'title', '{text,character varying}', false),
      ('conversations', 'created_at', '{timestamp with time zone}', false),
      ('conversations', 'updated_at', '{timestamp with time zone}', false),
      ('messages', 'id', '{uuid}', true),
      ('messages', 'conversation_id', '{uuid}', true),
      ('messages', 'role', '{text,character varying}', true),
      ('messages', 'content', '{text,character varying}', true),
      ('messages', 'metadata', '{jsonb}', false),
      ('messages', 'created_at', '{timestamp with time zone}', false),
      ('agent_functions', 'id', '{uuid}', true),
      ('agent_functions', 'agent_id', '{uuid}', true),
      ('agent_functions', 'name', '{text,character varying}', true),
      ('agent_functions', 'function_type', null, true),
      ('agent_functions', 'trigger_keywords', '{text[],character varying[]}', false),
      ('agent_functions', 'config', '{jsonb}', false),
      ('agent_functions', 'is_enabled', '{boolean}', false),
      ('agent_functions', 'execution_order', '{smallint,integer,bigint}', false),
      ('user_roles', 'user_id', '{uuid}', true),
      ('user_roles', 'role', null, true)
  ),
  has as (
    select c.relname::text as table_name, a.attname::text as column_name, format_type(a.atttypid, null) as type,
      a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = '' as wants_value,
      a.attnotnull as is_required,
      case when a.atttypid = 'varchar'::regtype and a.atttypmod >= 4 then a.atttypmod - 4 end as characters
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (select table_name from expected)
  ),
  -- A view writes as its owner, unless it is told to do so as whoever asks; and so does one that is made of it.
  built (view_id, on_id, is_as_owner) as (
    select r.ev_class, d.refobjid, not exists (
      select from pg_options_to_table(v.reloptions) o
      where case when o.option_name = 'security_invoker' then o.option_value::boolean end
    )
    from pg_depend d
    join pg_rewrite r on r.oid = d.objid
    join pg_class v on v.oid = r.ev_class and v.relkind = 'v' and v.oid <> d.refobjid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
  ),
  views (view_id, table_name, is_as_owner) as (
    select b.view_id, c.relname::text, b.is_as_owner
    from built b
    join pg_class c on c.oid = b.on_id
    where c.relnamespace = 'public'::regnamespace and c.relname in ('credit_balances', 'credit_usage')
    union
    select b.view_id, v.table_name, b.is_as_owner or v.is_as_owner
    from views v
    join built b on b.on_id = v.view_id
  ),
  problems (problem) as (
    select format('%s.%s is %s and has to be %s', table_name, column_name, type, array_to_string(types::text[], ' or '))
    from expected join has using (table_name, column_name)
    where not type = any (types::text[])
    union all
    select format('%s has no column %s', table_name, column_name)
    from expected
    where is_required
      and table_name in (select table_name from has)
      and (table_name, column_name) not in (select table_name, column_name from has)
    union all
    -- Rows that we add name the columns above and no others.
    select format('%s.%s has to have a default, or to take null', table_name, column_name)
    from has
    where wants_value
      and table_name in ('credit_usage', 'api_keys', 'conversations', 'messages')
      and (table_name, column_name) not in (select table_name, column_name from expected)
    union all
    select format('%s.%s takes %s characters and has to take %s', table_name, column_name, h.characters,
      coalesce(w.characters::text, 'any number'))
    from (
      values
        ('conversations', 'title', 200),
        ('messages', 'role', 9),
        ('messages', 'content', null),
        ('credit_usage', 'operation_type', 15),
        ('api_keys', 'key_name', 100),
        ('api_keys', 'key_hash', 64),
        ('api_keys', 'key_prefix', 12)
    ) w (table_name, column_name, characters)
    join has h using (table_name, column_name)
    where h.characters < coalesce(w.characters, h.characters + 1)
    union all
    select 'credit_balances.held has to be not null'
    from has
    where (table_name, column_name) = ('credit_balances', 'held') and not is_required
    union all
    -- What nobody asks today would open the table tomorrow.
    select format('%s has policies that are asleep, which row level security would wake: drop or enable them', c.relname)
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (select table_name from expected)
      and not c.relrowsecurity
      and exists (select from pg_policy y where y.polrelid = c.oid)
    union all
    select distinct format('users may write %s through %s: set its security_invoker, or revoke that', table_name,
      view_id::regclass)
    from views, unnest(array['anon', 'authenticated']) role
    where is_as_owner
      and pg_relation_is_updatable(view_id, false) <> 0
      and (has_any_column_privilege(role, view_id, 'insert, update') or has_table_privilege(role, view_id, 'delete'))
    union all
    select format('%s is not a table', c.relname)
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (select table_name from expected)
      and c.relkind not in ('r', 'p')
    union all
    select format('%s has to be unique in %s', u.column_name, u.table_name)
    from (values ('credit_balances', 'user_id'), ('agents', 'id'), ('conversations', 'id'))
      u (table_name, column_name)
    join has using (table_name, column_name)
    where not exists (
      select from pg_index i
      join pg_attribute a on a.attrelid = i.indrelid and a.attname = u.column_name
      where i.indrelid = to_regclass(format('public.%I', u.table_name))
        and i.indisunique and i.indisvalid and i.indpred is null
        and i.indnkeyatts = 1 and i.indkey[0] = a.attnum
    )
    union all
    select format('a function %s is there already: rename it', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname in ('deduct_credits', 'get_admin_stats')
  )
  select array_agg(problem order by problem) into v_problems from problems;

  -- What rows say; the columns may be missing, or be something else.
  for v_column, v_type_category, v_condition, v_problem in
    values
      ('user_id', null, 'user_id is null', 'credit_balances.user_id has to be set in every row'),
      (
        'credits_remaining', 'N', 'credits_remaining not between -2147483648 and 2147483647',
        'credit_balances.credits_remaining has to be between -2147483648 and 2147483647 in every row'
      )
  loop
    continue when not exists (
      select from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      where a.attrelid = to_regclass('public.credit_balances')
        and a.attname = v_column
        and t.typcategory = coalesce(v_type_category, t.typcategory)
    );
    execute 'select exists (select from public.credit_balances where ' || v_condition || ')' into v_is_found;
    if v_is_found then
      v_problems := array_append(v_problems, v_problem);
    end if;
  end loop;

  if v_problems is not null then
    raise exception 'this project cannot be adopted yet, and nothing was changed: %; docs/supabase.md says how to mend it',
      array_to_string(v_problems, '; ');
  end if;
end
$$;

create schema if not exists switchyard;

revoke all on schema switchyard from public;

comment on schema switchyard is 'Engine of Switchyard. Not exposed; entered only through public.switchyard_* functions.';

create table if not exists public.agents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  description text,
  system_prompt text,
  ai_model text default 'google/gemini-2.5-flash',
  temperature numeric default 0.7,
  max_tokens integer default 1000,
  knowledge_base jsonb default '[]',
  is_published boolean not null default false,
  workspace_id uuid,
  status text default 'active',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

alter table public.agents
  add column if not exists description text,
  add column if not exists system_prompt text,
  add column if not exists ai_model text default 'google/gemini-2.5-flash',
  add column if not exists temperature numeric default 0.7,
  add column if not exists max_tokens integer default 1000,
  add column if not exists knowledge_base jsonb default '[]',
  add column if not exists is_published boolean not null default false,
  add column if not exists status text default 'active',
  add column if not exists is_heavy boolean not null default false,
  add column if not exists railway_url text,
  add column if not exists kind text not null default 'chat',
  add column if not exists price jsonb not null default '{"flat": 1}',
  add column if not exists config jsonb not null default '{}',
  add column if not exists tools jsonb not null default '[]';

create index if not exists agents_user_id_idx on public.agents (user_id);
create index if not exists agents_published_idx on public.agents (id) where is_published;

create table if not exists public.credit_balances (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references auth.users (id) on delete cascade,
  credits_remaining integer not null default 0,
  credits_used_this_month integer not null default 0,
  plan_type text not null default 'free',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

alter table public.credit_balances
  add column if not exists credits_used_this_month integer not null default 0,
  add column if not exists plan_type text not null default 'free',
  add column if not exists held integer not null default 0 check (held >= 0),
  add column if not exists usage_month date;

create table if not exists public.credit_usage (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid,
  credits_used integer not null,
  operation_type text not null,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

alter table public.credit_usage
  add column if not exists agent_id uuid,
  add column if not exists metadata jsonb not null default '{}',
  add column if not exists created_at timestamptz not null default now();

create index if not exists credit_usage_user_idx on public.credit_usage (user_id, created_at desc);
create index if not exists credit_usage_agent_idx on public.credit_usage (agent_id, created_at desc);

create table if not exists public.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  key_name text not null,
  key_hash text not null unique,
  key_prefix text not null,
  last_used_at timestamptz,
  is_active boolean not null default true,
  created_at timestamptz not null default now()
);

alter table public.api_keys
  add column if not exists last_used_at timestamptz,
  add column if not exists is_active boolean not null default true,
  add column if not exists created_at timestamptz not null default now();

create index if not exists api_keys_user_idx on public.api_keys (user_id);

create table if not exists public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  title text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

alter table public.conversations
  add column if not exists agent_id uuid references public.agents (id) on delete set null,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();

create index if not exists conversations_user_idx on public.conversations (user_id, updated_at desc);
create index if not exists conversations_agent_idx on public.conversations (agent_id);

create table if not exists public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null check (role in ('user', 'assistant', 'system', 'agent')),
  content text not null,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

alter table public.messages
  add column if not exists created_at timestamptz not null default now();

create index if not exists messages_conversation_idx on public.messages (conversation_id, created_at);

create table if not exists public.agent_functions (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid not null references public.agents (id) on delete cascade,
  name text not null,
  function_type text not null check (function_type in ('api_call', 'conditional', 'data_transform', 'webhook')),
  trigger_keywords text[] not null default '{}',
  config jsonb not null default '{}',
  is_enabled boolean not null default true,
  execution_order integer not null default 0,
  created_at timestamptz not null default now()
);

alter table public.agent_functions
  add column if not exists trigger_keywords text[] not null default '{}',
  add column if not exists config jsonb not null default '{}',
  add column if not exists is_enabled boolean not null default true,
  add column if not exists execution_order integer not null default 0,
  add column if not exists created_at timestamptz not null default now();

create index if not exists agent_functions_agent_idx on public.agent_functions (agent_id, execution_order);

create table if not exists public.user_roles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null check (role in ('admin', 'moderator', 'user')),
  unique (user_id, role)
);

-- A comment of the app stays: some are read by programs.
do $$
declare
  v_table text;
  v_column text;
  v_comment text;
begin
  for v_table, v_column, v_comment in
    values
      ('agents', null, 'One row an agent; heavy ones run on Switchyard.'),
      ('agents', 'is_heavy', 'True: the run may take minutes or hours and goes to Switchyard.'),
      ('agents', 'railway_url', 'Another backend for this agent''s runs; used only if on the allow-list.'),
      ('agents', 'kind', 'Which heavy agent runs it: chat, forecast, …'),
      ('agents', 'price', 'Whole credits: {"flat", "per_1k_tokens", "per_minute", "ceiling"}. Set by the operator, never by users.'),
      ('agents', 'config', 'Settings of the kind, e.g. {"deadline_s": 3600}; deadline_s null is none.'),
      ('agents', 'knowledge_base', '[{"title"?, "content"}]'),
      ('credit_balances', null, 'One account a user, in whole credits. balance = sum of switchyard.ledger.'),
      ('credit_balances', 'held', 'Credits promised to runs under way; available = credits_remaining - held.'),
      ('credit_balances', 'usage_month', 'First day of the month (UTC) credits_used_this_month counts.'),
      ('credit_usage', null, 'What was spent on what, for the app''s own pages; the ledger is the truth.'),
      ('api_keys', null, 'Keys that run as their owner. The key itself is shown once and never stored.'),
      ('api_keys', 'key_hash', 'SHA-256 of the whole key, lower-case hex.'),
      ('api_keys', 'key_prefix', 'First 12 characters, to tell keys apart.'),
      ('conversations', null, 'A thread of messages between a user and an agent.'),
      ('messages', null, 'One turn of a conversation.'),
      ('agent_functions', null, 'What fires before the model when a keyword matches.'),
      ('user_roles', null, 'Who may administer; read through has_role only.')
  loop
    if v_column is null then
      if obj_description(format('public.%I', v_table)::regclass, 'pg_class') is null then
        execute format('comment on table public.%I is %L', v_table, v_comment);
      end if;
    elsif not exists (
      select from pg_attribute a
      where a.attrelid = format('public.%I', v_table)::regclass
        and a.attname = v_column
        and col_description(a.attrelid, a.attnum) is not null
    ) then
      execute format('comment on column public.%I.%I is %L', v_table, v_column, v_comment);
    end if;
  end loop;
end
$$;

-- Row level security: a user sees their own rows. A table that has it already keeps its policies, and who may do what
-- on it; one without it was open to every user, and gets ours.
do $$
declare
  c_own constant text := 'user_id = (select auth.uid())';
  c_conversation constant text := 'exists (
    select 1 from public.conversations c
    where c.id = messages.conversation_id and c.user_id = (select auth.uid())
  )';
  c_agent constant text := 'exists (
    select 1 from public.agents a
    where a.id = agent_functions.agent_id and a.user_id = (select auth.uid())
  )';
  v_table text;
  v_policy text;
  v_rule text;
begin
  for v_table, v_policy, v_rule in
    values
      ('agents', 'switchyard_own_agents', c_own),
      ('conversations', 'switchyard_own_conversations', c_own),
      ('messages', 'switchyard_own_messages', c_conversation),
      ('agent_functions', 'switchyard_own_functions', c_agent),
      ('credit_balances', 'switchyard_own_balance', null),
      ('credit_usage', 'switchyard_own_usage', null),
      ('api_keys', 'switchyard_own_keys', null),
      ('user_roles', 'switchyard_own_roles', null)
  loop
    continue when (select relrowsecurity from pg_class where oid = format('public.%I', v_table)::regclass);
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on public.%I from public, anon, authenticated', v_table);
    if v_rule is not null then
      execute format(
        'create policy %I on public.%I to authenticated using (%s) with check (%3$s)', v_policy, v_table, v_rule
      );
      execute format('grant select, insert, update, delete on public.%I to authenticated', v_table);
    else
      execute format('create policy %I on public.%I for select to authenticated using (%s)', v_policy, v_table, c_own);
      if v_table = 'api_keys' then
        grant select (id, user_id, key_name, key_prefix, last_used_at, is_active, created_at)
          on public.api_keys to authenticated;
      else
        execute format('grant select on public.%I to authenticated', v_table);
      end if;
    end if;
  end loop;
end
$$;

-- Money is written by functions alone, whatever a policy says: older projects granted everything on every table, and a
-- policy was then the only guard of a balance.
revoke insert, update, delete, truncate, references, trigger
  on public.credit_balances, public.credit_usage
  from public, anon, authenticated;

grant select, insert, update, delete
  on public.agents, public.credit_balances, public.credit_usage, public.api_keys, public.conversations,
     public.messages, public.agent_functions, public.user_roles
  to service_role;

-- A price decides what a run costs its user, so an agent's owner must not set it. A grant by column would
-- not hold in a project that has granted the whole table, so a trigger says no.
create function switchyard.agents_guard_price() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if current_user in ('anon', 'authenticated')
    and coalesce(new.price, '{"flat": 1}') is distinct from (case when tg_op = 'UPDATE' then old.price else '{"flat": 1}'::jsonb end)
  then
    raise sqlstate '42501' using message = 'the price of an agent is set by the operator';
  end if;
  return new;
end
$$;

comment on function switchyard.agents_guard_price is 'Refuses a price written by a user.';

create trigger switchyard_guard_price before insert or update on public.agents
  for each row execute function switchyard.agents_guard_price();

-- An app that has one of its own keeps it, whatever it calls its arguments and its roles: its policies ask it.
do $do$
begin
  if exists (
    select from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname = 'has_role'
      and p.pronargs = 2
      and p.proargtypes[0] = 'uuid'::regtype
  ) then
    return;
  end if;

  create function public.has_role(p_user_id uuid, p_role text) returns boolean
  language sql stable security definer
  set search_path = ''
  as $$
    select exists (select 1 from public.user_roles r where r.user_id = p_user_id and r.role::text = p_role)
  $$;

  comment on function public.has_role is 'Whether the user has the role: admin, moderator or user.';

  revoke all on function public.has_role(uuid, text) from public, anon, authenticated;
  grant execute on function public.has_role(uuid, text) to service_role;
end
$do$;
