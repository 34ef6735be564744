-- Every process asks every 15 s what waits. A queue of 100,000 runs was counted to its end each time: what is told of a
-- queue is bounded now, and exact up to the bound.

-- In the order in which they have waited too long, which an index holds. Whoever is not among the first has no earlier
-- deadline of the queue than the last of them, so that the wait is exact unless so many runs end sooner by a deadline of
-- their own. Nor may the whole queue be read and sorted: Postgres takes it for empty whenever a flood begins.
create or replace function public.switchyard_runs_backlog(p_grace_s double precision, p_queue_deadline_s double precision)
returns jsonb
language sql stable security definer
set search_path = ''
set enable_sort = off
as $$
  select jsonb_build_object(
    'queued', q.runs,
    'oldest_queued_ms', greatest(coalesce(
      switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(q.first_deadline_at)
        + (p_queue_deadline_s * 1000)::bigint,
      0
    ), 0),
    'stuck', (
      select count(*)
      from switchyard.runs
      where status = 'running' and lease_until < clock_timestamp() - make_interval(secs => p_grace_s)
    )
  )
  from (
    select count(*) as runs, min(w.queue_deadline_at) as first_deadline_at
    from (
      select queue_deadline_at
      from switchyard.runs
      where charged_credits is null and lease_token is null
      order by least(queue_deadline_at, deadline_at)
      limit 10000
    ) w
  ) q
$$;

comment on function public.switchyard_runs_backlog is
  'How many runs wait, counted to 10,000: as many means as many or more. How long the first of them has in milliseconds, and how many runs have a lease that ended p_grace_s ago and that nobody reaps.';
