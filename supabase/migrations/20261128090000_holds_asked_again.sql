-- What a key that was held before pays for, when its request comes again.
--
-- Another price is no other request: the key is the client's, the price the agent's owner's, who may change it between
-- two tries, and what was held first is what it costs at most. Keys without our word before them are the caller's own,
-- with the number of credits, and another number under one is a mistake.
--
-- A run is joined for as long as its key is known. Then it is another run that begins, which the old charge pays as
-- little for as one that was released: whoever asks goes on to the next name.
create or replace function public.switchyard_credits_hold(p_user_id uuid, p_credits integer, p_key text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_key text := 'request:' || p_key;
  v_run_key text := substring(p_key from '^heavy:\d+:(.*)$');
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
    if v_charged > 0 and v_run_key is not null and not exists (
      select from switchyard.request_keys k where k.user_id = p_user_id and k.key = v_run_key
    ) then
      v_charged := 0;
    end if;
  end if;
  return switchyard.credits_of(p_user_id) || jsonb_build_object('is_new', v_is_new, 'charged', v_charged);
end
$$;

comment on function public.switchyard_credits_hold is
  'Holds credits for a request that is not a run; once a key. Answers the account with is_new, false when the key was held before, and charged: null while the hold is open, then what it ended with, 0 when it was released, or paid for a run that is not joined any more.';
