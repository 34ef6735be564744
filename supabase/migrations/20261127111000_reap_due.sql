-- Reaping in the moment in which a lease ends, instead of up to a second and a half later: whoever reaps is told when
-- to come again, and what it has put back, so that it can tell those who have room.

create function public.switchyard_runs_reap_due(p_limit integer, p_queue_deadline_s double precision) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
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
      where status = 'running'
    )
  );
end
$$;

comment on function public.switchyard_runs_reap_due is
  'As switchyard_runs_reap; answers its rows, each with the epoch of its run, and in how many milliseconds the next lease ends, null without one.';

revoke all on function public.switchyard_runs_reap_due(integer, double precision) from public, anon, authenticated;
grant execute on function public.switchyard_runs_reap_due(integer, double precision) to service_role;
