-- A reader that stops has a page of the log in its hands for as long as it is waited for, and there may be
-- hundreds of them; so a page has a bound in bytes. Events are looked at one by one, because to add up the sizes
-- of all that could be on it costs more than to read those that are.
create function public.switchyard_events_page(
  p_user_id uuid, p_run_id uuid, p_after integer, p_limit integer, p_bytes integer
)
returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  r switchyard.runs := switchyard.run_owned(p_user_id, p_run_id);
  e record;
  v_seq integer := p_after;
  v_bytes integer := 0;
  v_events jsonb[] := '{}';
begin
  if p_after > r.last_seq then
    perform switchyard.refuse(
      'PT400', 'bad_cursor', format('after %s is in the future; the newest event is %s', p_after, r.last_seq)
    );
  end if;
  for e in
    select n.seq, n.type, n.data, n.created_at
    from switchyard.events n
    where n.run_id = p_run_id and n.seq > p_after
    order by n.seq
    limit p_limit
  loop
    exit when e.seq <> v_seq + 1;
    v_seq := e.seq;
    v_events := array_append(v_events, jsonb_build_object(
      'seq', e.seq, 'type', e.type, 'data', e.data, 'at_ms', switchyard.epoch_ms(e.created_at)
    ));
    v_bytes := v_bytes + octet_length(e.data::text);
    exit when v_bytes >= p_bytes;
  end loop;
  if v_seq = p_after and p_after < r.last_seq and p_limit > 0 then
    perform switchyard.events_gone(r, p_after);
  end if;
  return jsonb_build_object(
    'status', r.status,
    'latest', r.last_seq,
    'is_terminal', switchyard.is_terminal(r.status),
    'events', to_jsonb(v_events)
  );
end
$$;

comment on function public.switchyard_events_page is
  'As switchyard_events_read, and the page ends with the event that brings its data to p_bytes, as text.';

revoke all on function public.switchyard_events_page(uuid, uuid, integer, integer, integer)
  from public, anon, authenticated;
grant execute on function public.switchyard_events_page(uuid, uuid, integer, integer, integer) to service_role;
