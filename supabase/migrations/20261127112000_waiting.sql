-- Runs that nobody has claimed though they wait, for whoever tells those that have room once more.

-- By the index of the queue, which holds waiting rows only, kind by kind; no more of each are read than are asked for.
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
    from (select distinct kind from unnest(p_kinds) as k (kind)) k
    cross join lateral (
      select q.id, q.kind, q.epoch, q.queued_at
      from switchyard.runs q
      where q.status = 'queued'
        and q.kind = k.kind
        and q.queued_at <= clock_timestamp() - make_interval(secs => p_after_s)
      order by q.queued_at, q.id
      limit p_limit
    ) r
    order by r.queued_at, r.id
    limit p_limit
  ) w
$$;

comment on function public.switchyard_runs_waiting is
  'The first p_limit runs of p_kinds that have been in the queue for p_after_s seconds or more, with how often each was claimed (epoch) and how long it has been there in milliseconds. A run that came back keeps its place, and its age.';

revoke all on function public.switchyard_runs_waiting(text[], double precision, integer)
from public, anon, authenticated;
grant execute on function public.switchyard_runs_waiting(text[], double precision, integer) to service_role;
