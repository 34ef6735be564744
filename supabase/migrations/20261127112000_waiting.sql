-- Runs that nobody has claimed though they wait, for whoever tells those that have room once more.

-- By the index of the queue, which holds waiting rows only; no more of them are read than are asked for, unless they
-- are of kinds that nobody here executes.
create function public.switchyard_runs_waiting(p_kinds text[], p_after_s double precision, p_limit integer) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select coalesce(jsonb_agg(
    jsonb_build_object('run_id', w.id, 'kind', w.kind, 'epoch', w.epoch, 'waited_ms', w.waited_ms)
    order by w.queued_at, w.id
  ), '[]')
  from (
    select
      r.id, r.kind, r.epoch, r.queued_at,
      switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(r.queued_at) as waited_ms
    from switchyard.runs r
    where r.status = 'queued'
      and r.queued_at <= clock_timestamp() - make_interval(secs => p_after_s)
      and r.kind = any(p_kinds)
    order by r.queued_at, r.id
    limit p_limit
  ) w
$$;

comment on function public.switchyard_runs_waiting is
  'The first p_limit runs of p_kinds that have been in the queue for p_after_s seconds or more, with how often each was claimed (epoch) and how long it has been there in milliseconds. A run that came back keeps its place, and its age.';

revoke all on function public.switchyard_runs_waiting(text[], double precision, integer)
from public, anon, authenticated;
grant execute on function public.switchyard_runs_waiting(text[], double precision, integer) to service_role;
