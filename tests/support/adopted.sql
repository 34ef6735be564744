-- An app as builders of such apps make them, before it knows of Switchyard: with data, with columns and types of its
-- own, and with the mistakes that are usual. Runs on what a Supabase project has from the start.

create type public.app_role as enum ('admin', 'moderator', 'user');
create type public.function_kind as enum ('api_call', 'conditional', 'data_transform', 'webhook');

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text
);

create table public.workspaces (
  id uuid primary key default gen_random_uuid(),
  name text not null
);

create table public.agents (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  name varchar(120) not null,
  description text,
  system_prompt text default 'You are a helpful assistant.',
  ai_model varchar(80) default 'google/gemini-2.5-flash',
  temperature double precision default 0.7,
  max_tokens bigint default 1000,
  knowledge_base jsonb,
  is_published boolean default false,
  is_heavy boolean default false,
  workspace_id uuid references public.workspaces (id) on delete set null,
  status varchar(20) default 'active' check (status in ('active', 'paused', 'deleted')),
  avatar_url text,
  chats integer not null default 0,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
comment on table public.agents is '@graphql({"totalCount": {"enabled": true}})';

-- Nobody thought of null, nor of what is below zero.
create table public.credit_balances (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  credits_remaining bigint default 50,
  credits_used_this_month integer default 0,
  plan_type varchar(20) default 'free',
  theme text default 'dark',
  last_reset_at timestamptz default now(),
  constraint one_account_a_user unique (user_id)
);

create table public.credit_usage (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  credits_used numeric(10, 2) not null,
  operation_type text not null,
  metadata jsonb,
  created_at timestamptz default now()
);

create table public.api_keys (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  key_name text not null,
  key_hash text not null,
  key_prefix varchar(12) not null,
  last_used_at timestamptz,
  is_active boolean default true,
  created_at timestamptz default now()
);

create table public.conversations (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete cascade,
  title text default 'New conversation',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

-- Somebody forgot row level security here.
create table public.messages (
  id uuid not null default gen_random_uuid() primary key,
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null check (role in ('user', 'assistant', 'system')),
  content text not null,
  created_at timestamptz default now()
);

create table public.agent_functions (
  id uuid not null default gen_random_uuid() primary key,
  agent_id uuid not null references public.agents (id) on delete cascade,
  name text not null,
  function_type public.function_kind not null,
  trigger_keywords text[],
  config jsonb,
  is_enabled boolean default true,
  execution_order integer default 0
);

create table public.user_roles (
  id uuid not null default gen_random_uuid() primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  role public.app_role not null,
  unique (user_id, role)
);

create index idx_agents_user on public.agents (user_id);
create index idx_usage_user on public.credit_usage (user_id);

create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = public
as $$ select exists (select 1 from user_roles where user_id = _user_id and role = _role) $$;

-- No check of the balance, and everybody may call it for anybody.
create function public.deduct_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer
as $$
begin
  update public.credit_balances
  set credits_remaining = credits_remaining - p_credits,
      credits_used_this_month = credits_used_this_month + p_credits
  where user_id = p_user_id;
  return found;
end
$$;

create function public.touch_updated_at() returns trigger
language plpgsql
as $$ begin new.updated_at = now(); return new; end $$;

create function public.handle_new_user() returns trigger
language plpgsql security definer set search_path = public
as $$
begin
  insert into profiles (id, display_name) values (new.id, split_part(new.email, '@', 1));
  insert into credit_balances (user_id) values (new.id);
  return new;
end
$$;

create trigger touch_agents before update on public.agents for each row execute function public.touch_updated_at();
create trigger touch_conversations before update on public.conversations
  for each row execute function public.touch_updated_at();
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();

create view public.gallery with (security_invoker = true) as
  select a.id, a.name, a.description, a.avatar_url from public.agents a where a.is_published;
create view public.leaders as
  select u.agent_id, sum(u.credits_used) as credits from public.credit_usage u group by u.agent_id;

alter table public.profiles enable row level security;
alter table public.agents enable row level security;
alter table public.credit_balances enable row level security;
alter table public.credit_usage enable row level security;
alter table public.api_keys enable row level security;
alter table public.conversations enable row level security;
alter table public.agent_functions enable row level security;
alter table public.user_roles enable row level security;

create policy "Users manage their agents" on public.agents for all using (auth.uid() = user_id);
create policy "Published agents are for everyone" on public.agents for select using (is_published);
create policy "Users see their balance" on public.credit_balances for select using (auth.uid() = user_id);
create policy "Users update their balance" on public.credit_balances for update using (auth.uid() = user_id);
create policy "Users see their usage" on public.credit_usage for select using (auth.uid() = user_id);
create policy "Users manage their keys" on public.api_keys for all using (auth.uid() = user_id);
create policy "Users manage their conversations" on public.conversations for all using (auth.uid() = user_id);
create policy "Owners manage functions" on public.agent_functions for all
  using (exists (select 1 from public.agents a where a.id = agent_id and a.user_id = auth.uid()));
create policy "Users see their roles" on public.user_roles for select using (auth.uid() = user_id);
create policy "Admins manage roles" on public.user_roles for all
  using (public.has_role(auth.uid(), 'admin'::public.app_role));
create policy "Users see their profile" on public.profiles for select using (auth.uid() = id);

-- As older projects have it.
grant all on all tables in schema public to anon, authenticated, service_role;
grant all on all functions in schema public to anon, authenticated, service_role;

insert into auth.users (id, email)
values
  ('00000000-0000-4000-8000-00000000000a', 'ada@example.com'),
  ('00000000-0000-4000-8000-00000000000b', 'bob@example.com'),
  ('00000000-0000-4000-8000-00000000000c', 'cy@example.com');

update public.credit_balances
set credits_remaining = 420, credits_used_this_month = 80, plan_type = 'pro', theme = 'light'
where user_id = '00000000-0000-4000-8000-00000000000a';
update public.credit_balances set credits_remaining = -3 where user_id = '00000000-0000-4000-8000-00000000000b';
update public.credit_balances set credits_remaining = null where user_id = '00000000-0000-4000-8000-00000000000c';

insert into public.user_roles (user_id, role) values ('00000000-0000-4000-8000-00000000000a', 'admin');

insert into public.agents (id, user_id, name, is_published, is_heavy, knowledge_base, avatar_url, chats)
values
  (
    '00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-00000000000a', 'Librarian', true, false,
    '[{"title": "Hours", "content": "Nine to five."}]', 'https://example.com/a.png', 12
  ),
  (
    '00000000-0000-4000-8000-0000000000a2', '00000000-0000-4000-8000-00000000000a', 'Analyst', null, null, null, null, 0
  );
insert into public.agent_functions (agent_id, name, function_type, trigger_keywords, config)
values
  ('00000000-0000-4000-8000-0000000000a1', 'closed', 'conditional', '{holiday}', '{"response": "We are closed."}'),
  ('00000000-0000-4000-8000-0000000000a1', 'hook', 'webhook', null, null);
insert into public.conversations (id, user_id, agent_id)
values (
  '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a1'
);
insert into public.messages (conversation_id, role, content)
values
  ('00000000-0000-4000-8000-0000000000c1', 'user', 'When are you open?'),
  ('00000000-0000-4000-8000-0000000000c1', 'assistant', 'Nine to five.');
insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata)
values
  (
    '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-0000000000a1', 1.50, 'agent_runtime', null
  );
insert into public.api_keys (user_id, key_name, key_hash, key_prefix, is_active)
values
  ('00000000-0000-4000-8000-00000000000a', 'laptop', repeat('ab', 32), 'app_12345678', true),
  ('00000000-0000-4000-8000-00000000000a', 'old', repeat('cd', 32), 'app_87654321', null);
