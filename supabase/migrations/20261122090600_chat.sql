-- What a chat agent needs of the database: a row of bounded size, calls of a model before they are made, the text
-- of a run that was cut short, the conversation a run belongs to, and whose doing a deadline is.
--
-- Locks are taken in the order run, conversation, account. Ending a run waits for no conversation: it takes the
-- locks that are free and leaves out what it would have had to wait for.

alter table public.conversations
  add column if not exists agent_id uuid references public.agents (id) on delete set null,
  add column if not exists title text,
  add column if not exists updated_at timestamptz not null default now();
alter table public.messages
  add column if not exists metadata jsonb not null default '{}';

comment on column public.messages.metadata is
  '{"run_id"} of a turn that came with a run, {"run_id", "status"} of what a run answered.';

-- Agents. Their owners write the rows; every submit reads one, and every run keeps a copy.

-- The text of JSON is a quarter of what is stored for it at least, even where all of it is numbers of one digit: what
-- is large as it lies there is not read to be counted. That holds for columns only; a variable or an argument is read
-- as a whole when it is planned with, which is why this is not given the row.
create function switchyard.agent_bounded(p_agent_id uuid) returns void
language plpgsql stable
set search_path = ''
as $$
declare
  v_part text;
  v_bytes bigint;
begin
  select p.part, sum(p.bytes) over () into v_part, v_bytes
  from public.agents a
  cross join lateral (
    select t.part, octet_length(t.value)
    from (
      values
        ('name', a.name),
        ('description', a.description),
        ('kind', a.kind),
        ('system_prompt', a.system_prompt),
        ('ai_model', a.ai_model)
    ) t (part, value)
    union all
    select j.part, case
      when pg_column_size(j.value) > 4000000 then pg_column_size(j.value)
      else octet_length(j.value::text)
    end
    from (
      values
        ('knowledge_base', a.knowledge_base),
        ('price', a.price),
        ('config', a.config),
        ('tools', a.tools)
    ) j (part, value)
  ) p (part, bytes)
  where a.id = p_agent_id
  order by p.bytes desc nulls last
  limit 1;
  if v_bytes > 1000000 then
    perform switchyard.refuse('PT503', 'not_configured', format(
      'the agent is larger than 1,000,000 bytes, most of them in its %s, which its owner has to shorten', v_part
    ));
  end if;
end
$$;

comment on function switchyard.agent_bounded is
  'Refuses an agent of which a run would keep more than 1,000,000 bytes of text: PT503, with the part that is largest.';

create or replace function switchyard.agent_visible(p_user_id uuid, p_agent_id uuid) returns public.agents
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
  perform switchyard.agent_bounded(p_agent_id);
  return a;
end
$$;

comment on function switchyard.agent_visible is
  'The agent, if the user may run it; somebody else''s reads as unknown, and one that is too large is refused.';
comment on function public.switchyard_agents_get is
  'An agent the user may run, or PT404; PT503 when it is too large to run.';

-- Calls of a model. A call is written down before it is bought, so that one a crash cut off is known afterwards:
-- it was begun, and its step is not journaled.

create table switchyard.calls (
  id text primary key check (length(id) between 1 and 100),
  run_id uuid not null references switchyard.runs (id) on delete cascade,
  step text not null check (length(step) between 1 and 200),
  epoch integer not null,
  begun_at timestamptz not null default clock_timestamp()
);

create index calls_run_idx on switchyard.calls (run_id, epoch);

comment on table switchyard.calls is
  'Calls of a model the platform was about to buy. One is journaled when the result of its step names it as "modelCall".';
comment on column switchyard.calls.id is 'The caller''s own, fresh for every try.';
comment on column switchyard.calls.epoch is 'The claim that began it.';

alter table switchyard.calls enable row level security;

-- A shared lock: steps of one run may begin calls side by side, and the row stays unchanged. While it is held the
-- run is neither released nor reaped, so that whoever takes it over counts this call.
create function public.switchyard_calls_begin(p_run_id uuid, p_token uuid, p_id text, p_step text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_epoch integer;
begin
  select r.epoch into v_epoch from switchyard.runs r
  where r.id = p_run_id and r.lease_token = p_token and r.status = 'running'
  for share;
  if not found then
    return jsonb_build_object('begun', false);
  end if;
  insert into switchyard.calls (id, run_id, step, epoch)
  values (p_id, p_run_id, p_step, v_epoch)
  on conflict (id) do nothing;
  return jsonb_build_object('begun', true);
end
$$;

comment on function public.switchyard_calls_begin is
  'Writes down, under a lease, that a step is about to call a model; safe to repeat. begun false: the lease is lost.';

-- What a worker needs to go on has one thing more: how many steps had a call of a model cut off under the claim
-- before, so that a loss is counted once, by the claim after it.
alter function switchyard.claim_json(switchyard.runs) rename to claim_state;

create function switchyard.claim_json(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select switchyard.claim_state(r) || jsonb_build_object('lost_calls', (
    select count(distinct c.step)
    from switchyard.calls c
    where c.run_id = r.id
      and c.epoch = r.epoch - 1
      and not exists (select 1 from switchyard.steps s where s.run_id = r.id and s.name = c.step)
  ))
$$;

comment on function switchyard.claim_state is 'A claimed run with its journal; claim_json adds what was lost.';
comment on function switchyard.claim_json is 'A claimed run as its worker gets it.';

-- The text of a run that was cut short. The numbers of a `retry` are an agent's own words: what is no number
-- discards nothing, rather than keep the run from ending. The size is counted before the text is put together, for
-- a long run may have said more than fits.
create function switchyard.partial_text(p_run_id uuid) returns text
language sql stable
set search_path = ''
as $$
  with retries as materialized (
    select e.seq, e.data ->> 'step' as step, (e.data ->> 'discardAfter')::numeric as discard_after
    from switchyard.events e
    where e.run_id = p_run_id
      and e.type = 'retry'
      and jsonb_typeof(e.data -> 'discardAfter') = 'number'
  ),
  shown as (
    select e.seq, e.data ->> 'content' as content
    from switchyard.events e
    where e.run_id = p_run_id
      and e.type = 'chunk'
      and not exists (
        select 1 from retries t
        where t.step = e.data ->> 'step' and t.discard_after < e.seq and t.seq > e.seq
      )
  ),
  measured as (
    select seq, content, sum(length(content)) over (order by seq) - length(content) as characters_before
    from shown
  )
  select nullif(left(string_agg(content, '' order by seq), 1000000), '')
  from measured
  where characters_before < 1000000
$$;

comment on function switchyard.partial_text is
  'What a client''s screen shows of a run: its chunks without those a retry discarded, at most 1,000,000 characters; null for none.';

-- Conversations. A run that is submitted with one leaves its turns there, and its answer when it ends.

create function switchyard.turn_role(p_role text) returns text
language sql immutable
set search_path = ''
as $$
  select case p_role when 'agent' then 'assistant' else p_role end
$$;

comment on function switchyard.turn_role is 'The role of a turn as models know it: older front ends call the assistant agent.';

create function switchyard.turn_digest(p_role text, p_content text) returns bytea
language sql stable
set search_path = ''
as $$
  select sha256(convert_to(switchyard.turn_role(p_role) || ':' || p_content, 'UTF8'))
$$;

comment on function switchyard.turn_digest is 'Two turns with the same digest say the same.';

create function switchyard.cut_short(p_role text, p_metadata jsonb) returns text
language sql immutable
set search_path = ''
as $$
  select case when p_role = 'assistant' and p_metadata ->> 'status' in ('failed', 'cancelled') then
    p_metadata ->> 'status'
  end
$$;

comment on function switchyard.cut_short is
  'How the run ended whose answer a turn is: failed or cancelled; null for every other turn.';

-- A front end that sends a conversation again may have kept what a run had said before it was cut short, or not.
-- Turn by turn, oldest first: the lengths that may have been said again by then.
create function switchyard.turns_overlap(p_kept bytea[], p_is_cut_short boolean[], p_sent bytea[]) returns integer
language plpgsql immutable
set search_path = ''
as $$
declare
  v_lengths integer[] := '{0}';
begin
  for i in 1 .. cardinality(p_kept) loop
    v_lengths := array(
      select 0
      union
      select n + 1 from unnest(v_lengths) n where p_sent[n + 1] = p_kept[i]
      union
      select n from unnest(v_lengths) n where p_is_cut_short[i]
    );
  end loop;
  return (select max(n) from unnest(v_lengths) n);
end
$$;

comment on function switchyard.turns_overlap is
  'Length of the longest end of what is kept, any of the answers cut short left out or not, that what is sent begins with.';

-- A clock may be set back a little, and turns of one run are a microsecond apart. A turn dated a second ahead or
-- more was written by somebody with a clock of their own, and moves nobody else's.
create function switchyard.turn_at(p_conversation_id uuid) returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return greatest(v_now, (
    select max(m.created_at) + interval '1 microsecond'
    from public.messages m
    where m.conversation_id = p_conversation_id and m.created_at < v_now + interval '1 second'
  ));
end
$$;

comment on function switchyard.turn_at is 'When a turn that is said now was said: after all that were said before.';

-- A trigger, so that no run gets into a conversation by another way. It runs before the row is written and before
-- anything is held; the lock keeps two runs that come at once from mixing their turns. `created_at` becomes the
-- moment the run has the conversation to itself: what was said before it is what it answers to.
create function switchyard.run_joins_conversation() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_kept bytea[];
  v_is_cut_short boolean[];
  v_sent bytea[];
  v_overlap integer;
begin
  perform from public.conversations c
  where c.id = new.conversation_id and c.user_id = new.user_id
  for no key update;
  if not found then
    perform switchyard.refuse('PT404', 'conversation_not_found', 'no such conversation, or it is not yours');
  end if;
  new.created_at := switchyard.turn_at(new.conversation_id);

  -- More than were sent, for answers cut short may stand between them.
  select
    coalesce(array_agg(switchyard.turn_digest(k.role, k.content) order by k.created_at, k.id), '{}'),
    coalesce(array_agg(
      switchyard.cut_short(k.role, k.metadata) is not null order by k.created_at, k.id
    ), '{}')
  into v_kept, v_is_cut_short
  from (
    select * from public.messages m
    where m.conversation_id = new.conversation_id and m.created_at < new.created_at
    order by m.created_at desc, m.id desc
    limit 2 * jsonb_array_length(new.messages) + 10
  ) k;
  select coalesce(array_agg(
    switchyard.turn_digest(s.turn ->> 'role', s.turn ->> 'content') order by s.number
  ), '{}')
  into v_sent
  from jsonb_array_elements(new.messages) with ordinality as s (turn, number);
  v_overlap := switchyard.turns_overlap(v_kept, v_is_cut_short, v_sent);

  insert into public.messages (conversation_id, role, content, metadata, created_at)
  select new.conversation_id, s.turn ->> 'role', s.turn ->> 'content', jsonb_build_object('run_id', new.id),
    new.created_at + s.number * interval '1 microsecond'
  from jsonb_array_elements(new.messages) with ordinality as s (turn, number)
  where s.number > v_overlap
  order by s.number;

  update public.conversations c
  set updated_at = clock_timestamp(),
      title = coalesce(c.title, (
        select left(m.content, 80) from public.messages m
        where m.conversation_id = c.id and m.role = 'user' and m.content <> ''
        order by m.created_at, m.id
        limit 1
      ))
  where c.id = new.conversation_id;
  return new;
end
$$;

comment on function switchyard.run_joins_conversation is
  'Stores the turns of a run that its conversation does not end with already; PT404 when it is not the user''s.';

create trigger run_joins_conversation before insert on switchyard.runs
  for each row when (new.conversation_id is not null) execute function switchyard.run_joins_conversation();

-- Waits for nobody: against `key share` stands who deletes the conversation, and then the answer is not missed (or
-- locks it as if to delete it, which nobody should); against the second lock also a turn that comes in now, and that
-- one says when the conversation changed.
-- An app may have rules of its own for its messages; none of them may keep a run from ending.
create function switchyard.conversation_answer(r switchyard.runs, p_status text, p_response text) returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into public.messages (conversation_id, role, content, metadata, created_at)
  select c.id, 'assistant', p_response, jsonb_build_object('run_id', r.id, 'status', p_status),
    switchyard.turn_at(c.id)
  from public.conversations c
  where c.id = r.conversation_id and c.user_id = r.user_id
  for key share skip locked;

  update public.conversations c
  set updated_at = clock_timestamp()
  from (
    select id from public.conversations
    where id = r.conversation_id and user_id = r.user_id
    for no key update skip locked
  ) free
  where c.id = free.id;
exception
  when others then
    raise warning 'the answer of run % is not in its conversation: %', r.id, sqlerrm;
end
$$;

comment on function switchyard.conversation_answer is
  'Adds what a run answered to its conversation, unless that is gone or going, or refuses it.';

-- Everything that ends a run still goes through run_end: a run that did not succeed answers what it had said by
-- then, and its conversation keeps the answer, before the event, the status and the money are written.
alter function switchyard.run_end(switchyard.runs, text, text, text, text, jsonb, jsonb, integer, uuid)
  rename to run_close;

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
  v_response text := p_response;
begin
  if v_response is null and p_status <> 'succeeded' then
    v_response := switchyard.partial_text(r.id);
  end if;
  if r.conversation_id is not null and v_response <> '' then
    perform switchyard.conversation_answer(r, p_status, v_response);
  end if;
  return switchyard.run_close(r, p_status, p_code, p_error, v_response, p_output, p_usage, p_charge, p_token);
end
$$;

comment on function switchyard.run_close is
  'Writes the end of a run: terminal event, status, settlement. Only run_end calls it.';
comment on function switchyard.run_end is
  'Ends a run, with its answer. p_token is kept for a repeated finish; null ends all authority.';

-- A deadline the agent's row names is a choice of its owner, as a cancel is one of the user's; the one a run has
-- otherwise is the platform's, and so is waiting for a worker.
create function switchyard.run_overdue(r switchyard.runs, p_error text) returns switchyard.runs
language sql
set search_path = ''
as $$
  select switchyard.run_end(
    r, 'failed', 'deadline_exceeded', p_error, null, null, r.usage,
    case
      when r.agent -> 'config' ? 'deadline_s'
        and r.deadline_at < clock_timestamp()
        and (r.status = 'running' or r.deadline_at <= r.queue_deadline_at)
      then r.accrued_credits
      else 0
    end,
    null
  )
$$;

comment on function switchyard.run_overdue is
  'Failed by a deadline without a worker: one of the agent''s own charges what was journaled, one of the platform nothing.';

create or replace function public.switchyard_runs_reap(p_limit integer, p_queue_deadline_s double precision) returns jsonb
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
      perform switchyard.run_overdue(r, 'the run waited longer than its deadline');
    elsif r.cancel_requested_at is not null then
      v_outcome := 'cancelled';
      perform switchyard.run_cancelled(r);
    elsif r.deadline_at < v_now then
      v_outcome := 'deadline_exceeded';
      perform switchyard.run_overdue(r, 'the run passed its deadline');
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

create or replace function switchyard.user_deleted() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  -- All runs, then all conversations, before the account: the loop alone would lock runs a few at a time, and
  -- the cascade would come to the conversations last.
  perform from switchyard.runs
  where user_id = old.id and status in ('queued', 'running')
  order by id
  for no key update;
  perform from public.conversations
  where user_id = old.id
  order by id
  for update;

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

-- What a failed run had said is not told. What a cancelled one had said is, unless nothing was said after it: then
-- its question is asked again, and a question has to be the last thing a model is told.
create function public.switchyard_conversations_history(p_run_id uuid, p_token uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(
    (
      select jsonb_agg(
        jsonb_build_object('role', switchyard.turn_role(h.role), 'content', h.content) order by h.created_at, h.id
      )
      from (
        select n.*,
          sum(length(n.content)) over newest as characters,
          count(*) filter (where n.cut_short is null) over newest as whole
        from (
          select m.id, m.role, m.content, m.created_at, switchyard.cut_short(m.role, m.metadata) as cut_short
          from public.messages m
          join public.conversations c on c.id = m.conversation_id and c.user_id = r.user_id
          where m.conversation_id = r.conversation_id
            and m.content <> ''
            and (m.created_at < r.created_at or m.metadata ->> 'run_id' = r.id::text)
            and switchyard.cut_short(m.role, m.metadata) is distinct from 'failed'
          order by m.created_at desc, m.id desc
          limit 1000
        ) n
        window newest as (order by n.created_at desc, n.id desc)
      ) h
      where h.characters <= 2000000 and h.whole > 0
    ),
    (
      select jsonb_agg(
        jsonb_build_object('role', switchyard.turn_role(s.turn ->> 'role'), 'content', s.turn ->> 'content')
        order by s.number
      )
      from jsonb_array_elements(r.messages) with ordinality as s (turn, number)
      where s.turn ->> 'content' <> ''
    ),
    '[]'
  )
  from switchyard.runs r
  where r.id = p_run_id and r.lease_token = p_token and r.status = 'running'
$$;

comment on function public.switchyard_conversations_history is
  'What was said before a run and with it, [{role, content}] oldest first: the newest 1,000 turns, 2,000,000 characters at most, without answers of runs that failed and such as were cancelled last; the run''s own turns when there is no conversation (any more); null when the lease is lost.';

create function public.switchyard_conversations_create(p_user_id uuid, p_agent_id uuid, p_title text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c public.conversations;
begin
  if not exists (select 1 from auth.users u where u.id = p_user_id) then
    perform switchyard.refuse('PT400', 'invalid_request', 'there is no such user');
  end if;
  if p_agent_id is not null then
    perform switchyard.agent_visible(p_user_id, p_agent_id);
  end if;
  insert into public.conversations (user_id, agent_id, title)
  values (p_user_id, p_agent_id, nullif(p_title, ''))
  returning * into c;
  return jsonb_build_object(
    'id', c.id, 'agent_id', c.agent_id, 'title', c.title, 'created_ms', switchyard.epoch_ms(c.created_at)
  );
end
$$;

comment on function public.switchyard_conversations_create is
  'Opens a conversation, with an agent the user may run if one is named; without a title it gets one with its first turn.';

-- Metadata is the app's to write too: what is no run's id is not shown as one.
create function public.switchyard_conversations_read(p_user_id uuid, p_conversation_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  c public.conversations;
begin
  select * into c from public.conversations where id = p_conversation_id and user_id = p_user_id;
  if not found then
    perform switchyard.refuse('PT404', 'conversation_not_found', 'no such conversation, or it is not yours');
  end if;
  return jsonb_build_object(
    'id', c.id,
    'agent_id', c.agent_id,
    'title', c.title,
    'created_ms', switchyard.epoch_ms(c.created_at),
    'updated_ms', switchyard.epoch_ms(c.updated_at),
    'messages', coalesce((
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'id', h.id,
        'role', switchyard.turn_role(h.role),
        'content', h.content,
        'run_id', substring(h.metadata ->> 'run_id' from '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
        'created_ms', switchyard.epoch_ms(h.created_at)
      )) order by h.created_at, h.id)
      from (
        select n.*, sum(length(n.content)) over (order by n.created_at desc, n.id desc) as characters
        from (
          select * from public.messages m
          where m.conversation_id = c.id
          order by m.created_at desc, m.id desc
          limit 200
        ) n
      ) h
      where h.characters <= 2000000
    ), '[]')
  );
end
$$;

comment on function public.switchyard_conversations_read is
  'The user''s conversation with its newest 200 turns, 2,000,000 characters of them at most, oldest first; or PT404.';

-- What must never be true. Each rule answers the rows that break it; a healthy database answers none.
alter function public.switchyard_audit() set schema switchyard;
alter function switchyard.switchyard_audit() rename to audit_runs;
alter function switchyard.audit_runs() security invoker;
revoke all on function switchyard.audit_runs() from service_role;

create function public.switchyard_audit() returns jsonb
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
  )
  select switchyard.audit_runs() || coalesce((
    select jsonb_agg(jsonb_build_object('rule', v.rule, 'subject', v.subject))
    from (
      select * from unbegun_calls
      union all select * from double_calls
    ) v
  ), '[]')
$$;

comment on function switchyard.audit_runs is 'The rules about runs, events and money; switchyard_audit adds those about calls.';
comment on function public.switchyard_audit is 'Every broken invariant as {rule, subject}; empty when all is well.';

revoke all on all functions in schema switchyard from public, anon, authenticated;
revoke all on function
  public.switchyard_calls_begin(uuid, uuid, text, text),
  public.switchyard_conversations_history(uuid, uuid),
  public.switchyard_conversations_create(uuid, uuid, text),
  public.switchyard_conversations_read(uuid, uuid),
  public.switchyard_audit()
from public, anon, authenticated;
grant execute on function
  public.switchyard_calls_begin(uuid, uuid, text, text),
  public.switchyard_conversations_history(uuid, uuid),
  public.switchyard_conversations_create(uuid, uuid, text),
  public.switchyard_conversations_read(uuid, uuid),
  public.switchyard_audit()
to service_role;
