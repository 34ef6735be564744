-- A reader is never handed a log with a hole in it. Runs are removed whole, so the engine leaves none; whoever thins
-- out a log by hand, to keep a run that lasts for months small, gives its readers an answer they can act on.

create or replace function public.switchyard_events_read(p_user_id uuid, p_run_id uuid, p_after integer, p_limit integer)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  r switchyard.runs := switchyard.run_owned(p_user_id, p_run_id);
  v_events jsonb;
begin
  if p_after > r.last_seq then
    perform switchyard.refuse(
      'PT400', 'bad_cursor', format('after %s is in the future; the newest event is %s', p_after, r.last_seq)
    );
  end if;
  select jsonb_agg(jsonb_build_object(
    'seq', e.seq, 'type', e.type, 'data', e.data, 'at_ms', switchyard.epoch_ms(e.created_at)
  ) order by e.seq) into v_events
  from (
    select *, row_number() over (order by seq) as place
    from (select * from switchyard.events where run_id = p_run_id and seq > p_after order by seq limit p_limit) n
  ) e
  where e.seq = p_after + e.place;
  if v_events is null and p_after < r.last_seq and p_limit > 0 then
    perform switchyard.events_gone(r, p_after);
  end if;
  return jsonb_build_object(
    'status', r.status,
    'latest', r.last_seq,
    'is_terminal', switchyard.is_terminal(r.status),
    'events', coalesce(v_events, '[]')
  );
end
$$;

comment on function public.switchyard_events_read is
  'Up to p_limit events after a number, oldest first and without a gap; PT400 for a number no event has yet, PT409 where the next event is no longer kept.';

create function switchyard.events_gone(r switchyard.runs, p_after integer) returns void
language plpgsql stable
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT409',
    message = 'gap',
    detail = jsonb_build_object(
      'oldest', coalesce(
        (select min(e.seq) from switchyard.events e where e.run_id = r.id and e.seq > p_after), r.last_seq + 1
      ),
      'latest', r.last_seq
    )::text;
end
$$;

comment on function switchyard.events_gone is
  'Refuses with where a reader can go on: `oldest` is the first event after the gap, one past `latest` when there is none.';

revoke all on function switchyard.events_gone(switchyard.runs, integer) from public, anon, authenticated;
