-- The tables of the app that Switchyard serves. A project that has them already keeps them: nothing here
-- drops or rewrites, missing columns are added. What only the engine needs lives in schema switchyard.

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
  add column if not exists is_heavy boolean not null default false,
  add column if not exists railway_url text,
  add column if not exists kind text not null default 'chat',
  add column if not exists price jsonb not null default '{"flat": 1}',
  add column if not exists config jsonb not null default '{}',
  add column if not exists tools jsonb not null default '[]';

create index if not exists agents_user_id_idx on public.agents (user_id);
create index if not exists agents_published_idx on public.agents (id) where is_published;

comment on table public.agents is 'One row an agent; heavy ones run on Switchyard.';
comment on column public.agents.is_heavy is 'True: the run may take minutes or hours and goes to Switchyard.';
comment on column public.agents.railway_url is 'Another backend for this agent''s runs; used only if on the allow-list.';
comment on column public.agents.kind is 'Which heavy agent runs it: chat, forecast, …';
comment on column public.agents.price is
  'Whole credits: {"flat", "per_1k_tokens", "per_minute", "ceiling"}. Set by the operator, never by users.';
comment on column public.agents.config is 'Settings of the kind, e.g. {"deadline_s": 3600}; deadline_s null is none.';
comment on column public.agents.knowledge_base is '[{"title"?, "content"}]';

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
  add column if not exists held integer not null default 0 check (held >= 0),
  add column if not exists usage_month date;

comment on table public.credit_balances is 'One account a user, in whole credits. balance = sum of switchyard.ledger.';
comment on column public.credit_balances.held is 'Credits promised to runs under way; available = credits_remaining - held.';
comment on column public.credit_balances.usage_month is 'First day of the month (UTC) credits_used_this_month counts.';

create table if not exists public.credit_usage (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid,
  credits_used integer not null,
  operation_type text not null,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

create index if not exists credit_usage_user_idx on public.credit_usage (user_id, created_at desc);
create index if not exists credit_usage_agent_idx on public.credit_usage (agent_id, created_at desc);

comment on table public.credit_usage is 'What was spent on what, for the app''s own pages; the ledger is the truth.';

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

create index if not exists api_keys_user_idx on public.api_keys (user_id);

comment on table public.api_keys is 'Keys that run as their owner. The key itself is shown once and never stored.';
comment on column public.api_keys.key_hash is 'SHA-256 of the whole key, lower-case hex.';
comment on column public.api_keys.key_prefix is 'First 12 characters, to tell keys apart.';

create table if not exists public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  title text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index if not exists conversations_user_idx on public.conversations (user_id, updated_at desc);
create index if not exists conversations_agent_idx on public.conversations (agent_id);

comment on table public.conversations is 'A thread of messages between a user and an agent.';

create table if not exists public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null check (role in ('user', 'assistant', 'system', 'agent')),
  content text not null,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now()
);

create index if not exists messages_conversation_idx on public.messages (conversation_id, created_at);

comment on table public.messages is 'One turn of a conversation.';

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

create index if not exists agent_functions_agent_idx on public.agent_functions (agent_id, execution_order);

comment on table public.agent_functions is 'What fires before the model when a keyword matches.';

create table if not exists public.user_roles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null check (role in ('admin', 'moderator', 'user')),
  unique (user_id, role)
);

comment on table public.user_roles is 'Who may administer; read through has_role only.';

-- Row level security: a user sees their own rows; money and keys are written by functions alone.

alter table public.agents enable row level security;
alter table public.credit_balances enable row level security;
alter table public.credit_usage enable row level security;
alter table public.api_keys enable row level security;
alter table public.conversations enable row level security;
alter table public.messages enable row level security;
alter table public.agent_functions enable row level security;
alter table public.user_roles enable row level security;

create policy switchyard_own_agents on public.agents to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

create policy switchyard_own_balance on public.credit_balances for select to authenticated
  using (user_id = (select auth.uid()));

create policy switchyard_own_usage on public.credit_usage for select to authenticated
  using (user_id = (select auth.uid()));

create policy switchyard_own_keys on public.api_keys for select to authenticated
  using (user_id = (select auth.uid()));

create policy switchyard_own_conversations on public.conversations to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()));

create policy switchyard_own_messages on public.messages to authenticated
  using (exists (
    select 1 from public.conversations c
    where c.id = conversation_id and c.user_id = (select auth.uid())
  ))
  with check (exists (
    select 1 from public.conversations c
    where c.id = conversation_id and c.user_id = (select auth.uid())
  ));

create policy switchyard_own_functions on public.agent_functions to authenticated
  using (exists (
    select 1 from public.agents a
    where a.id = agent_id and a.user_id = (select auth.uid())
  ))
  with check (exists (
    select 1 from public.agents a
    where a.id = agent_id and a.user_id = (select auth.uid())
  ));

create policy switchyard_own_roles on public.user_roles for select to authenticated
  using (user_id = (select auth.uid()));

-- Older projects granted everything on every table; a policy alone would then be the only guard of a balance.
revoke all on public.credit_balances, public.credit_usage, public.api_keys, public.user_roles
  from public, anon, authenticated;
revoke all on public.agents, public.conversations, public.messages, public.agent_functions from public, anon;

grant select, insert, update, delete
  on public.agents, public.conversations, public.messages, public.agent_functions to authenticated;
grant select on public.credit_balances, public.credit_usage, public.user_roles to authenticated;
grant select (id, user_id, key_name, key_prefix, last_used_at, is_active, created_at) on public.api_keys to authenticated;
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
    and new.price is distinct from (case when tg_op = 'UPDATE' then old.price else '{"flat": 1}'::jsonb end)
  then
    raise sqlstate '42501' using message = 'the price of an agent is set by the operator';
  end if;
  return new;
end
$$;

comment on function switchyard.agents_guard_price is 'Refuses a price written by a user.';

create trigger switchyard_guard_price before insert or update on public.agents
  for each row execute function switchyard.agents_guard_price();

create function public.has_role(p_user_id uuid, p_role text) returns boolean
language sql stable security definer
set search_path = ''
as $$
  select exists (select 1 from public.user_roles r where r.user_id = p_user_id and r.role = p_role)
$$;

comment on function public.has_role is 'Whether the user has the role: admin, moderator or user.';

revoke all on function public.has_role(uuid, text) from public, anon, authenticated;
grant execute on function public.has_role(uuid, text) to service_role;
