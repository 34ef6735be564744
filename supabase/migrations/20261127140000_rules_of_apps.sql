-- A run that a rule of the app keeps from ending keeps no other from being reaped.

create function switchyard.run_reap(r switchyard.runs, p_now timestamptz, p_queue_deadline_s double precision)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  c_max_attempts constant integer := 3;
  c_max_claims constant integer := 20;
  v_outcome text;
  v_end jsonb;
begin
  if r.status = 'queued' then
    v_outcome := 'deadline_exceeded';
    r := switchyard.run_overdue(r, 'the run waited longer than its deadline');
  elsif r.cancel_requested_at is not null then
    v_outcome := 'cancelled';
    r := switchyard.run_cancelled(r);
  elsif r.deadline_at < p_now then
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
        queue_deadline_at = p_now + make_interval(secs => p_queue_deadline_s)
    where id = r.id;
  end if;
  v_end := case
    when v_outcome <> 'requeued'
    then switchyard.end_json(r) || jsonb_build_object('lost_calls', switchyard.calls_lost(r))
  end;
  return jsonb_build_object('run_id', r.id, 'kind', r.kind, 'outcome', v_outcome, 'end', v_end);
end
$$;

comment on function switchyard.run_reap is
  'Ends or requeues a run that nobody executes any more, and answers its row of switchyard_runs_reap.';

-- First those whose lease has ended, of which there are never more than slots, then those that waited too long, the
-- longest first. Which ones is decided before they are ordered: user by user, so that two replicas lock accounts in
-- the same order. One that cannot be ended, because the app refuses to have its account written, stays as it is, and
-- the audit names it; the others go on.
create or replace function public.switchyard_runs_reap(p_limit integer, p_queue_deadline_s double precision) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  r switchyard.runs;
  v_now timestamptz := clock_timestamp();
  v_due uuid[];
  v_reaped jsonb := '[]';
begin
  v_due := array(
    select q.id from switchyard.runs q
    where q.status = 'running' and q.lease_until < v_now
    limit p_limit
    for no key update skip locked
  );
  v_due := v_due || array(
    select q.id from switchyard.runs q
    where q.charged_credits is null and q.lease_token is null and least(q.queue_deadline_at, q.deadline_at) < v_now
    order by least(q.queue_deadline_at, q.deadline_at)
    limit p_limit - cardinality(v_due)
    for no key update skip locked
  );
  for r in
    select * from switchyard.runs where id = any (v_due) order by user_id, id
  loop
    begin
      v_reaped := v_reaped || switchyard.run_reap(r, v_now, p_queue_deadline_s);
    exception
      -- What may be otherwise in the next moment: the batch is tried again.
      when transaction_rollback or insufficient_resources or operator_intervention or system_error or lock_not_available
      then
        raise;
      when others then
        raise warning 'run % cannot be ended: %', r.id, sqlerrm;
    end;
  end loop;
  return v_reaped;
end
$$;

-- A lease that had ended before has been looked at. Where it is still there its run cannot be ended, which is no reason
-- to come back at once.
create or replace function public.switchyard_runs_reap_due(p_limit integer, p_queue_deadline_s double precision)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_began timestamptz := clock_timestamp();
  v_reaped jsonb := public.switchyard_runs_reap(p_limit, p_queue_deadline_s);
begin
  return jsonb_build_object(
    'reaped', coalesce((
      select jsonb_agg(e.value || jsonb_build_object('epoch', r.epoch))
      from jsonb_array_elements(v_reaped) e
      join switchyard.runs r on r.id = (e.value ->> 'run_id')::uuid
    ), '[]'),
    'next_ms', (
      select switchyard.epoch_ms(min(lease_until)) - switchyard.epoch_ms(clock_timestamp())
      from switchyard.runs
      where status = 'running' and lease_until >= v_began
    )
  );
end
$$;

revoke all on function switchyard.run_reap(switchyard.runs, timestamptz, double precision)
from public, anon, authenticated;
