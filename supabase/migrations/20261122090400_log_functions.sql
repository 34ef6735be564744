-- The log of a run and its journal, written under a lease and read by its owner.

-- One flush of one process: the pending events of all its runs in one statement.
-- Rows are locked in one order, whatever the order of the batch. One that somebody else has locked is passed
-- over as busy and sent again, so that a long transaction holds up no other run.
create function public.switchyard_events_append(p_batch jsonb) returns jsonb
language sql security definer
set search_path = ''
as $$
  with asked as (
    select a.run_id, a.token, a.events
    from jsonb_to_recordset(p_batch) as a (run_id uuid, token uuid, events jsonb)
  ),
  locked as (
    select r.id, r.last_seq, a.events
    from asked a
    join switchyard.runs r on r.id = a.run_id and r.lease_token = a.token and r.status = 'running'
    order by r.id
    for no key update of r skip locked
  ),
  held as (
    select r.id
    from asked a
    join switchyard.runs r on r.id = a.run_id and r.lease_token = a.token and r.status = 'running'
  ),
  fresh as (
    select l.id, l.last_seq, e.seq, e.type, e.data
    from locked l
    cross join lateral jsonb_to_recordset(l.events) as e (seq integer, type text, data jsonb)
    where e.seq > l.last_seq
  ),
  added as (
    insert into switchyard.events (run_id, seq, type, data)
    select id, seq, switchyard.not_terminal(type), data from fresh order by id, seq
  ),
  moved as (
    update switchyard.runs r
    set last_seq = switchyard.gapless(f.last_seq, f.first, f.newest, f.n)
    from (
      select id, last_seq, min(seq) as first, max(seq) as newest, count(*) as n
      from fresh
      group by id, last_seq
    ) f
    where r.id = f.id
  )
  select jsonb_build_object(
    'lost', coalesce((
      select jsonb_agg(run_id) from asked where run_id not in (select id from held)
    ), '[]'),
    'busy', coalesce((
      select jsonb_agg(id) from held where id not in (select id from locked)
    ), '[]')
  )
$$;

comment on function public.switchyard_events_append is
  'Appends [{run_id, token, events: [{seq, type, data}]}]; answers the runs whose lease is lost, and those to send again. Safe to repeat.';

create function switchyard.run_owned(p_user_id uuid, p_run_id uuid) returns switchyard.runs
language plpgsql stable
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs where id = p_run_id and user_id = p_user_id;
  if not found then
    perform switchyard.refuse('PT404', 'run_not_found', 'no such run, or it is not yours');
  end if;
  return r;
end
$$;

comment on function switchyard.run_owned is 'The user''s run; somebody else''s reads as unknown.';

create function public.switchyard_events_read(p_user_id uuid, p_run_id uuid, p_after integer, p_limit integer)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  r switchyard.runs := switchyard.run_owned(p_user_id, p_run_id);
begin
  if p_after > r.last_seq then
    perform switchyard.refuse(
      'PT400', 'bad_cursor', format('after %s is in the future; the newest event is %s', p_after, r.last_seq)
    );
  end if;
  return jsonb_build_object(
    'status', r.status,
    'latest', r.last_seq,
    'is_terminal', switchyard.is_terminal(r.status),
    'events', coalesce((
      select jsonb_agg(jsonb_build_object(
        'seq', e.seq, 'type', e.type, 'data', e.data, 'at_ms', switchyard.epoch_ms(e.created_at)
      ) order by e.seq)
      from (
        select * from switchyard.events
        where run_id = p_run_id and seq > p_after
        order by seq
        limit p_limit
      ) e
    ), '[]')
  );
end
$$;

comment on function public.switchyard_events_read is
  'Up to p_limit events after a number, oldest first; PT400 for a number no event has yet.';

create function public.switchyard_events_tail(p_cursors jsonb, p_limit integer) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'run_id', c.run_id,
    'events', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'seq', e.seq, 'type', e.type, 'data', e.data, 'at_ms', switchyard.epoch_ms(e.created_at)
      ) order by e.seq), '[]')
      from (
        select * from switchyard.events
        where run_id = c.run_id and seq > c.after
        order by seq
        limit p_limit
      ) e
    )
  )), '[]')
  from jsonb_to_recordset(p_cursors) as c (run_id uuid, after integer)
  join switchyard.runs r on r.id = c.run_id and r.last_seq > c.after
$$;

comment on function public.switchyard_events_tail is
  'What is new in runs [{run_id, after}] that execute elsewhere; the reader has been authorised before.';

create function switchyard.journaled_usage(p_run_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(u.name, u.amount), '{}')
  from (
    select e.key as name, sum(e.value::bigint) as amount
    from switchyard.steps s
    cross join lateral jsonb_each_text(s.usage) e
    where s.run_id = p_run_id
    group by e.key
  ) u
$$;

comment on function switchyard.journaled_usage is 'What the finished steps of a run have used together.';

create function public.switchyard_steps_save(
  p_run_id uuid,
  p_token uuid,
  p_name text,
  p_result jsonb,
  p_result_base64 text,
  p_usage jsonb,
  p_accrued_credits integer,
  p_duration_ms integer
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs
  where id = p_run_id and lease_token = p_token and status = 'running'
  for no key update;
  if not found then
    return jsonb_build_object('saved', false);
  end if;
  insert into switchyard.steps (run_id, name, epoch, result, blob, size_bytes, usage, duration_ms)
  values (
    r.id, p_name, r.epoch, case when p_result_base64 is null then p_result end,
    case when p_result_base64 is not null then p_name end, coalesce(octet_length(p_result::text), 0),
    p_usage, p_duration_ms
  )
  on conflict (run_id, name) do nothing;
  if found then
    if p_result_base64 is not null then
      insert into switchyard.blobs (run_id, owner, purpose, name, media_type, size_bytes, bytes)
      select r.id, r.user_id, 'step', p_name, 'application/json', octet_length(b), b
      from decode(p_result_base64, 'base64') b;
    end if;
    update switchyard.runs
    set attempts = 0,
        usage = switchyard.journaled_usage(r.id),
        accrued_credits = greatest(accrued_credits, p_accrued_credits),
        executed_ms = executed_ms + switchyard.uncounted_ms(r),
        counted_from = clock_timestamp()
    where id = r.id;
  end if;
  return jsonb_build_object('saved', true);
end
$$;

comment on function public.switchyard_steps_save is
  'Journals a step once, under a lease, with its usage and what the run would cost so far. saved false: the lease is lost.';

create function public.switchyard_steps_read(p_run_id uuid, p_name text) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('result', s.result)
  from switchyard.steps s
  where s.run_id = p_run_id and s.name = p_name
$$;

comment on function public.switchyard_steps_read is 'A journaled result that did not come with the claim, for the worker that runs it.';

create function public.switchyard_blobs_write(
  p_run_id uuid, p_token uuid, p_name text, p_media_type text, p_base64 text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
  v_bytes bytea := decode(p_base64, 'base64');
begin
  select * into r from switchyard.runs
  where id = p_run_id and lease_token = p_token and status = 'running'
  for no key update;
  if not found then
    return jsonb_build_object('written', false);
  end if;
  insert into switchyard.blobs (run_id, owner, purpose, name, media_type, size_bytes, bytes)
  values (r.id, r.user_id, 'artifact', p_name, p_media_type, octet_length(v_bytes), v_bytes)
  on conflict (run_id, purpose, name) do update
  set media_type = excluded.media_type, size_bytes = excluded.size_bytes, bytes = excluded.bytes;
  return jsonb_build_object('written', true);
end
$$;

comment on function public.switchyard_blobs_write is 'Stores an artifact under a lease; the same name again replaces it.';

create function public.switchyard_blobs_read(p_run_id uuid, p_purpose text, p_name text) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object('media_type', b.media_type, 'base64', encode(b.bytes, 'base64'))
  from switchyard.blobs b
  where b.run_id = p_run_id and b.purpose = p_purpose and b.name = p_name
$$;

comment on function public.switchyard_blobs_read is 'A large input or step result, for the worker that runs it; null when there is none.';

create function public.switchyard_artifacts_get(p_user_id uuid, p_run_id uuid, p_name text) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  r switchyard.runs := switchyard.run_owned(p_user_id, p_run_id);
  v_found jsonb := public.switchyard_blobs_read(r.id, 'artifact', p_name);
begin
  if v_found is null then
    perform switchyard.refuse('PT404', 'artifact_not_found', 'this run has no such artifact');
  end if;
  return v_found;
end
$$;

comment on function public.switchyard_artifacts_get is 'A file the user''s run made: {media_type, base64}.';

create function public.switchyard_runs_get(p_user_id uuid, p_run_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select switchyard.run_json(r) || jsonb_build_object(
    'artifacts', coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', b.name, 'media_type', b.media_type, 'size_bytes', b.size_bytes
      ) order by b.name)
      from switchyard.blobs b
      where b.run_id = r.id and b.purpose = 'artifact'
    ), '[]')
  )
  from switchyard.run_owned(p_user_id, p_run_id) r
$$;

comment on function public.switchyard_runs_get is 'The user''s run with its artifacts, or PT404.';

create function public.switchyard_runs_list(p_user_id uuid, p_before uuid, p_limit integer) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(switchyard.run_json(r) - 'output' - 'response' order by r.id desc), '[]')
  from (
    select * from switchyard.runs
    where user_id = p_user_id and (p_before is null or id < p_before)
    order by id desc
    limit p_limit
  ) r
$$;

comment on function public.switchyard_runs_list is 'The user''s runs, newest first, before a run; without their results.';

create function public.switchyard_runs_receipt(p_user_id uuid, p_run_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', r.id,
    'status', r.status,
    'credits_owner', r.credits_owner,
    'price', r.agent -> 'price',
    'held', r.hold_credits,
    'charged', coalesce(r.charged_credits, 0),
    'attempts', r.epoch,
    'usage', r.usage,
    'entries', coalesce((
      select jsonb_agg(jsonb_build_object(
        'kind', l.kind, 'key', l.key, 'credits', -l.amount, 'held', l.held,
        'at_ms', switchyard.epoch_ms(l.created_at)
      ) order by l.id)
      from switchyard.ledger l
      where l.run_id = r.id
    ), '[]'),
    'steps', coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', s.name, 'attempt', s.epoch, 'usage', s.usage, 'duration_ms', s.duration_ms,
        'finished_ms', switchyard.epoch_ms(s.finished_at)
      ) order by s.finished_at, s.name)
      from switchyard.steps s
      where s.run_id = r.id
    ), '[]')
  )
  from switchyard.run_owned(p_user_id, p_run_id) r
$$;

comment on function public.switchyard_runs_receipt is 'What a run held and was charged, and what each step used.';

create function public.get_admin_stats(p_user_id uuid default null) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_today timestamptz := date_trunc('day', now() at time zone 'UTC') at time zone 'UTC';
begin
  if p_user_id is not null and not public.has_role(p_user_id, 'admin') then
    perform switchyard.refuse('PT403', 'wrong_caller', 'only an admin may see these figures');
  end if;
  return jsonb_build_object(
    'totalUsers', (select count(*) from auth.users),
    'totalAgents', (select count(*) from public.agents),
    'publishedAgents', (select count(*) from public.agents where is_published),
    'heavyAgents', (select count(*) from public.agents where is_heavy),
    'runsToday', (select count(*) from switchyard.runs where created_at >= v_today),
    'creditsUsedToday', (
      select coalesce(-sum(amount), 0) from switchyard.ledger
      where kind in ('settle', 'charge') and created_at >= v_today
    ),
    'activeRuns', (select count(*) from switchyard.runs where status in ('queued', 'running'))
  );
end
$$;

comment on function public.get_admin_stats is 'Figures of the whole installation, for the service or, with p_user_id, an admin.';

create function public.switchyard_schema_version() returns jsonb
language sql immutable security definer
set search_path = ''
as $$
  select jsonb_build_object('version', 1)
$$;

comment on function public.switchyard_schema_version is 'Raised by a migration that a running release must know of.';

create function public.switchyard_clock() returns jsonb
language sql volatile security definer
set search_path = ''
as $$
  select jsonb_build_object('now_ms', switchyard.epoch_ms(clock_timestamp()))
$$;

comment on function public.switchyard_clock is 'The clock that decides leases and deadlines, milliseconds since 1970.';

revoke all on all functions in schema switchyard from public, anon, authenticated;
revoke all on function
  public.switchyard_events_append(jsonb),
  public.switchyard_events_read(uuid, uuid, integer, integer),
  public.switchyard_events_tail(jsonb, integer),
  public.switchyard_steps_save(uuid, uuid, text, jsonb, text, jsonb, integer, integer),
  public.switchyard_steps_read(uuid, text),
  public.switchyard_blobs_write(uuid, uuid, text, text, text),
  public.switchyard_blobs_read(uuid, text, text),
  public.switchyard_artifacts_get(uuid, uuid, text),
  public.switchyard_runs_get(uuid, uuid),
  public.switchyard_runs_list(uuid, uuid, integer),
  public.switchyard_runs_receipt(uuid, uuid),
  public.get_admin_stats(uuid),
  public.switchyard_schema_version(),
  public.switchyard_clock()
from public, anon, authenticated;
grant execute on function
  public.switchyard_events_append(jsonb),
  public.switchyard_events_read(uuid, uuid, integer, integer),
  public.switchyard_events_tail(jsonb, integer),
  public.switchyard_steps_save(uuid, uuid, text, jsonb, text, jsonb, integer, integer),
  public.switchyard_steps_read(uuid, text),
  public.switchyard_blobs_write(uuid, uuid, text, text, text),
  public.switchyard_blobs_read(uuid, text, text),
  public.switchyard_artifacts_get(uuid, uuid, text),
  public.switchyard_runs_get(uuid, uuid),
  public.switchyard_runs_list(uuid, uuid, integer),
  public.switchyard_runs_receipt(uuid, uuid),
  public.get_admin_stats(uuid),
  public.switchyard_schema_version(),
  public.switchyard_clock()
to service_role;
