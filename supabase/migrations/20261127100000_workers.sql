-- Which processes there are. A front door knows from it how much the workers can take, and a process that did not end
-- in time after it had been told to go leaves a trace: its own counters are gone with it, so that others count it.
--
--   seen ───► seen ───► … ───► drain ───► leave (its row is gone)
--                               └───────► overdue: its row is still there after its time, and whoever sees that first
--                                         removes it and counts one overrun

create table switchyard.workers (
  worker text primary key check (length(worker) between 1 and 200),
  slots integer not null check (slots >= 0),
  seen_at timestamptz not null default clock_timestamp(),
  gone_by timestamptz
);

alter table switchyard.workers enable row level security;

comment on table switchyard.workers is 'Processes that run, or ran until a moment ago; one that ends well removes its row.';
comment on column switchyard.workers.slots is 'Runs it executes at once, 0 for a front door.';
comment on column switchyard.workers.gone_by is 'Set when it was told to go: when it has promised to be gone.';

create function public.switchyard_workers_seen(p_worker text, p_slots integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_alive constant interval := interval '10 seconds';
  c_slack constant interval := interval '1 second';
  c_forgotten constant interval := interval '1 hour';
  v_now timestamptz := clock_timestamp();
  v_overdue jsonb;
begin
  insert into switchyard.workers (worker, slots, seen_at)
  values (p_worker, p_slots, v_now)
  on conflict (worker) do update set slots = excluded.slots, seen_at = excluded.seen_at;

  with gone as (
    delete from switchyard.workers
    where worker in (
      select w.worker from switchyard.workers w
      where w.gone_by < v_now - c_slack or w.seen_at < v_now - c_forgotten
      for update skip locked
    )
    returning worker, gone_by
  )
  select coalesce(jsonb_agg(worker) filter (where gone_by is not null), '[]') into v_overdue from gone;

  return jsonb_build_object(
    'slots', (
      select coalesce(sum(slots), 0) from switchyard.workers where seen_at > v_now - c_alive and gone_by is null
    ),
    'active', (select count(*) from switchyard.runs where status = 'running'),
    'overdue', v_overdue
  );
end
$$;

comment on function public.switchyard_workers_seen is
  'A process says that it runs, every few seconds. Answers the slots of all that take work, the runs executed now, and which processes did not leave in time; each of those is answered once, to one process.';

create function public.switchyard_workers_drain(p_worker text, p_within_s double precision) returns jsonb
language sql security definer
set search_path = ''
as $$
  with told as (
    update switchyard.workers
    set gone_by = clock_timestamp() + make_interval(secs => p_within_s)
    where worker = p_worker and gone_by is null
    returning worker
  )
  select jsonb_build_object('told', exists (select from told))
$$;

comment on function public.switchyard_workers_drain is
  'A process was told to go and will be gone in p_within_s seconds. It takes no more work.';

create function public.switchyard_workers_leave(p_worker text) returns jsonb
language sql security definer
set search_path = ''
as $$
  with gone as (
    delete from switchyard.workers where worker = p_worker returning worker
  )
  select jsonb_build_object('left', exists (select from gone))
$$;

comment on function public.switchyard_workers_leave is 'A process ends well: nothing of it is left to be counted.';

revoke all on function
  public.switchyard_workers_seen(text, integer),
  public.switchyard_workers_drain(text, double precision),
  public.switchyard_workers_leave(text)
from public, anon, authenticated;
grant execute on function
  public.switchyard_workers_seen(text, integer),
  public.switchyard_workers_drain(text, double precision),
  public.switchyard_workers_leave(text)
to service_role;
