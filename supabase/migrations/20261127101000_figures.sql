-- What operators are told of the runs of all processes together, and what is counted of a run that ends.

-- Both counts go by partial indexes that hold only queued and running rows, so ended ones cost nothing here.
-- A run that was given back waits since then: its place in the queue is older, its deadline is not.
create function public.switchyard_runs_backlog(p_grace_s double precision, p_queue_deadline_s double precision)
returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'queued', (select count(*) from switchyard.runs where status = 'queued'),
    'oldest_queued_ms', greatest(coalesce((
      select switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(min(queue_deadline_at))
      from switchyard.runs
      where status = 'queued'
    ) + (p_queue_deadline_s * 1000)::bigint, 0), 0),
    'stuck', (
      select count(*)
      from switchyard.runs
      where status = 'running' and lease_until < clock_timestamp() - make_interval(secs => p_grace_s)
    )
  )
$$;

comment on function public.switchyard_runs_backlog is
  'How many runs wait, how long the first of them has in milliseconds, and how many have a lease that ended p_grace_s ago and that nobody reaps.';

revoke all on function public.switchyard_runs_backlog(double precision, double precision)
from public, anon, authenticated;
grant execute on function public.switchyard_runs_backlog(double precision, double precision) to service_role;

create function switchyard.end_json(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'kind', r.kind,
    'status', r.status,
    'code', r.code,
    'hold_credits', case r.credits_owner when 'backend' then r.hold_credits else 0 end,
    'charged_credits', r.charged_credits,
    'lasted_ms', switchyard.epoch_ms(r.ended_at) - switchyard.epoch_ms(r.created_at),
    'cancel_ms', switchyard.epoch_ms(r.ended_at) - switchyard.epoch_ms(r.cancel_requested_at)
  )
$$;

comment on function switchyard.end_json is
  'What is counted of an ended run; cancel_ms is the time from the wish to the end, null without one.';

create function switchyard.calls_lost(r switchyard.runs) returns bigint
language sql stable
set search_path = ''
as $$
  select count(distinct c.step)
  from switchyard.calls c
  where c.run_id = r.id
    and c.epoch = r.epoch
    and not exists (select 1 from switchyard.steps s where s.run_id = r.id and s.name = c.step)
$$;

comment on function switchyard.calls_lost is
  'How many steps had a call of a model cut off under the last claim; for a run that is not claimed again, which would count them.';

create or replace function public.switchyard_runs_finish(
  p_run_id uuid,
  p_token uuid,
  p_status text,
  p_code text,
  p_error text,
  p_response text,
  p_output jsonb,
  p_usage jsonb,
  p_charge_credits integer,
  p_events jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
begin
  select * into r from switchyard.runs where id = p_run_id and lease_token = p_token for no key update;
  if not found then
    return jsonb_build_object('finished', false);
  end if;
  if r.status = 'running' then
    r.last_seq := switchyard.events_add(r.id, r.last_seq, p_events);
    r := switchyard.run_end(
      r, p_status, p_code, p_error, p_response, p_output, p_usage, p_charge_credits, p_token
    );
  end if;
  return jsonb_build_object(
    'finished', true,
    'run', switchyard.run_json(r),
    'end', switchyard.end_json(r),
    'event', (
      select jsonb_build_object('seq', e.seq, 'type', e.type, 'data', e.data)
      from switchyard.events e
      where e.run_id = r.id and e.seq = r.last_seq
    )
  );
end
$$;

create or replace function public.switchyard_runs_cancel(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
  v_end jsonb;
begin
  select * into r from switchyard.runs where id = p_run_id and user_id = p_user_id for no key update;
  if not found then
    perform switchyard.refuse('PT404', 'run_not_found', 'no such run, or it is not yours');
  end if;
  if switchyard.is_terminal(r.status) then
    return jsonb_build_object('already_ended', true, 'run', switchyard.run_json(r), 'end', null);
  end if;
  update switchyard.runs
  set cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
  where id = r.id
  returning * into r;
  if r.status = 'queued' then
    r := switchyard.run_cancelled(r);
    v_end := switchyard.end_json(r) || jsonb_build_object('lost_calls', switchyard.calls_lost(r));
  end if;
  return jsonb_build_object('already_ended', false, 'run', switchyard.run_json(r), 'end', v_end);
end
$$;

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
  v_end jsonb;
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
      r := switchyard.run_overdue(r, 'the run waited longer than its deadline');
    elsif r.cancel_requested_at is not null then
      v_outcome := 'cancelled';
      r := switchyard.run_cancelled(r);
    elsif r.deadline_at < v_now then
      v_outcome := 'deadline_exceeded';
      r := switchyard.run_overdue(r, 'the run passed its deadline');
    elsif r.attempts >= c_max_attempts or r.claims >= c_max_claims then
      v_outcome := 'poison';
      r := switchyard.run_failed(r, v_outcome, format('its worker was lost %s times', r.claims));
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
    v_end := case
      when v_outcome <> 'requeued'
      then switchyard.end_json(r) || jsonb_build_object('lost_calls', switchyard.calls_lost(r))
    end;
    v_reaped := v_reaped || jsonb_build_object('run_id', r.id, 'kind', r.kind, 'outcome', v_outcome, 'end', v_end);
  end loop;
  return v_reaped;
end
$$;

revoke all on function switchyard.end_json(switchyard.runs) from public, anon, authenticated;
revoke all on function switchyard.calls_lost(switchyard.runs) from public, anon, authenticated;
