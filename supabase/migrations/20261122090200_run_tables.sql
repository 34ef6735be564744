-- A run and what it leaves behind.
--
--               submit                claim                 finish
--   (nothing) ───────► queued ─────────────────► running ─────────► succeeded | failed | cancelled
--                      │  ▲   ◄── release ──────────┘
--                      │  └────── lease expired ────┘
--                      └───► cancelled (asked while queued) · failed (queue deadline, poison)
--
-- Authority: whoever holds `lease_token` may write, nobody else. A claim takes a fresh token and raises
-- `epoch`; ending a run from outside (cancel while queued, reap) clears the token.
-- Locks are taken in the order run, then account, so that no two functions wait for each other.

create table switchyard.runs (
  id uuid primary key,
  user_id uuid not null,
  agent_id uuid,
  kind text not null,
  status text not null
    check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),

  agent jsonb not null,
  messages jsonb not null,
  input jsonb,
  conversation_id uuid,
  metadata jsonb not null,

  credits_owner text not null check (credits_owner in ('backend', 'caller', 'off')),
  hold_credits integer not null check (hold_credits >= 0),
  accrued_credits integer not null default 0 check (accrued_credits >= 0),
  charged_credits integer check (charged_credits >= 0),

  created_at timestamptz not null default clock_timestamp(),
  queued_at timestamptz not null default clock_timestamp(),
  queue_deadline_at timestamptz not null,
  deadline_at timestamptz,
  started_at timestamptz,
  counted_from timestamptz,
  executed_ms bigint not null default 0 check (executed_ms >= 0),
  ended_at timestamptz,
  cancel_requested_at timestamptz,

  epoch integer not null default 0,
  claims integer not null default 0,
  attempts integer not null default 0,
  worker text,
  lease_token uuid,
  lease_until timestamptz,

  last_seq integer not null default 0,
  code text,
  error text,
  response text,
  output jsonb,
  usage jsonb not null default '{}',

  check ((status = 'running') = (lease_until is not null)),
  check (status <> 'running' or (lease_token is not null and worker is not null and started_at is not null)),
  check (status <> 'queued' or lease_token is null),
  check ((status in ('succeeded', 'failed', 'cancelled')) = (ended_at is not null)),
  check ((ended_at is null) = (charged_credits is null)),
  check ((status = 'failed') = (code is not null and code <> 'cancelled'))
) with (fillfactor = 70, toast_tuple_target = 256);

create index runs_queue_idx on switchyard.runs (queued_at, id) where status = 'queued';
create index runs_running_idx on switchyard.runs (worker, user_id) where status = 'running';
create index runs_user_idx on switchyard.runs (user_id, id desc);
create index runs_ended_idx on switchyard.runs (ended_at) where ended_at is not null;

comment on table switchyard.runs is 'One row a run: a snapshot of what was asked, its lease, and how it ended.';
comment on column switchyard.runs.id is 'Version 7 UUID: sorts by creation.';
comment on column switchyard.runs.agent is 'The agent as it was at submit; later edits change no running run.';
comment on column switchyard.runs.input is 'Null when it is large: then it is the blob with purpose input.';
comment on column switchyard.runs.hold_credits is 'Credits held at submit; the most that can be charged.';
comment on column switchyard.runs.accrued_credits is 'What would be charged if the run were cancelled now.';
comment on column switchyard.runs.epoch is 'Raised by every claim, never lowered.';
comment on column switchyard.runs.claims is 'Claims so far, without those given back at a shutdown.';
comment on column switchyard.runs.attempts is 'Claims in a row that journaled no step.';
comment on column switchyard.runs.lease_token is 'Authority to write; kept after a finish so that a repeated finish is recognised.';
comment on column switchyard.runs.last_seq is 'Number of the newest event; events are 1 … last_seq without gap.';
comment on column switchyard.runs.started_at is 'First claim.';
comment on column switchyard.runs.counted_from is 'Since when this claim''s time is not yet in executed_ms.';
comment on column switchyard.runs.executed_ms is
  'Time of execution a user may be charged for: up to the last step or release. Waiting, and what a crash cut off, is not in it.';

create table switchyard.events (
  run_id uuid not null references switchyard.runs (id) on delete cascade,
  seq integer not null check (seq > 0),
  type text not null check (type ~ '^[a-z_]{1,32}$'),
  data jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (run_id, seq)
);

create unique index events_one_terminal on switchyard.events (run_id)
  where type in ('done', 'failed', 'cancelled');

comment on table switchyard.events is 'The ordered log of each run; what every client is shown.';

create table switchyard.steps (
  run_id uuid not null references switchyard.runs (id) on delete cascade,
  name text not null check (length(name) between 1 and 200),
  epoch integer not null,
  result jsonb,
  blob text,
  size_bytes integer not null default 0,
  usage jsonb not null default '{}',
  duration_ms integer not null check (duration_ms >= 0),
  finished_at timestamptz not null default clock_timestamp(),
  primary key (run_id, name)
);

comment on table switchyard.steps is 'The journal: a step that stands here is read after a crash, not run again.';
comment on column switchyard.steps.epoch is 'The claim that ran it.';
comment on column switchyard.steps.size_bytes is 'Of the result as text.';
comment on column switchyard.steps.blob is 'Name of the blob that holds a result over 1 MB.';

create table switchyard.blobs (
  id uuid primary key default gen_random_uuid(),
  run_id uuid not null references switchyard.runs (id) on delete cascade,
  owner uuid not null,
  purpose text not null check (purpose in ('input', 'step', 'artifact')),
  name text not null check (length(name) between 1 and 200),
  media_type text not null,
  size_bytes integer not null,
  bytes bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  unique (run_id, purpose, name),
  check (size_bytes = octet_length(bytes))
);

create index blobs_expiry_idx on switchyard.blobs (expires_at) where expires_at is not null;

comment on table switchyard.blobs is 'Large inputs, large step results and artifacts; they live as long as their run.';
comment on column switchyard.blobs.expires_at is 'Null: as long as the run.';

create table switchyard.request_keys (
  user_id uuid not null,
  key text not null check (length(key) between 1 and 255),
  run_id uuid not null,
  body_hash text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (user_id, key)
);

create index request_keys_age_idx on switchyard.request_keys (created_at);

comment on table switchyard.request_keys is 'Idempotency keys: one run each, for 90 days.';
comment on column switchyard.request_keys.body_hash is 'SHA-256 of the canonical body; another body is a conflict.';

alter table switchyard.runs enable row level security;
alter table switchyard.events enable row level security;
alter table switchyard.steps enable row level security;
alter table switchyard.blobs enable row level security;
alter table switchyard.request_keys enable row level security;

create function switchyard.refuse(p_state text, p_code text, p_detail text) returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception using
    errcode = p_state,
    message = p_code,
    detail = jsonb_build_object('detail', p_detail)::text;
end
$$;

comment on function switchyard.refuse is 'Refuses with an API code; state PTxyz becomes HTTP xyz.';

create function switchyard.is_terminal(p_status text) returns boolean
language sql immutable
set search_path = ''
as $$
  select p_status in ('succeeded', 'failed', 'cancelled')
$$;

comment on function switchyard.is_terminal is 'Terminal is terminal: such a run never changes again.';

create function switchyard.epoch_ms(p_at timestamptz) returns bigint
language sql immutable
set search_path = ''
as $$
  select (extract(epoch from p_at) * 1000)::bigint
$$;

comment on function switchyard.epoch_ms is 'Milliseconds since 1970, UTC.';

create function switchyard.run_json(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', r.id,
    'agent_id', r.agent_id,
    'agent_name', r.agent ->> 'name',
    'kind', r.kind,
    'status', r.status,
    'code', r.code,
    'error', r.error,
    'response', r.response,
    'output', r.output,
    'usage', r.usage,
    'hold_credits', r.hold_credits,
    'credits_used', r.charged_credits,
    'last_seq', r.last_seq,
    'attempts', r.epoch,
    'cancel_requested', r.cancel_requested_at is not null,
    'conversation_id', r.conversation_id,
    'metadata', r.metadata,
    'created_ms', switchyard.epoch_ms(r.created_at),
    'started_ms', switchyard.epoch_ms(r.started_at),
    'ended_ms', switchyard.epoch_ms(r.ended_at)
  )
$$;

comment on function switchyard.run_json is 'A run as its owner may see it; times in milliseconds since 1970.';

revoke all on all functions in schema switchyard from public, anon, authenticated;
