-- A request's key is the client's, its price the agent's owner's, who may change it between two tries. Another price is
-- no other request: what was held first is what it costs at most. Keys without our word before them are the caller's
-- own, with the number of credits, and another number under one is a mistake.
create or replace function public.switchyard_credits_hold(p_user_id uuid, p_credits integer, p_key text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_key text := 'request:' || p_key;
  v_before integer;
  v_charged integer;
  v_is_new boolean;
begin
  perform switchyard.check_credits(p_credits);
  perform switchyard.available(p_user_id);
  select l.held into v_before from switchyard.ledger l where l.user_id = p_user_id and l.key = v_key || ':hold';
  v_is_new := not found;
  if v_is_new then
    perform switchyard.hold_open(p_user_id, p_credits, v_key);
    insert into switchyard.request_holds (user_id, key, held_at) values (p_user_id, p_key, clock_timestamp());
  else
    if p_key !~ '^(light|heavy):' then
      perform switchyard.check_same_credits(v_before, p_credits);
    end if;
    select -c.amount into v_charged from switchyard.ledger c
    where c.user_id = p_user_id and c.hold_key = v_key || ':hold';
  end if;
  return switchyard.credits_of(p_user_id) || jsonb_build_object('is_new', v_is_new, 'charged', v_charged);
end
$$;
