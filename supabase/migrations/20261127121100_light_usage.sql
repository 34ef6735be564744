-- What a light answer has cost stands with the runs of its agent: in the owner's figures and on the app's own pages.

create function public.switchyard_answers_settle(
  p_user_id uuid,
  p_key text,
  p_credits integer,
  p_agent_id uuid,
  p_usage jsonb
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_is_open boolean;
  v_account jsonb;
begin
  -- The account's lock comes first: whoever else ends this hold has ended it before, or finds it ended.
  perform switchyard.available(p_user_id);
  v_is_open := exists (select from switchyard.request_holds h where h.user_id = p_user_id and h.key = p_key);
  v_account := switchyard.request_close(p_user_id, p_key, p_credits);
  -- Whoever deletes the user holds that row and waits for this account: the foreign key must not wait for it.
  if v_is_open and (v_account ->> 'charged')::integer > 0 then
    insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata)
    select p_user_id, p_agent_id, (v_account ->> 'charged')::integer, 'agent_runtime',
      jsonb_build_object('kind', 'chat', 'status', 'succeeded', 'usage', coalesce(p_usage, '{}'))
    where exists (select from auth.users u where u.id = p_user_id for key share skip locked);
  end if;
  return v_account;
end
$$;

comment on function public.switchyard_answers_settle is
  'As switchyard_credits_settle, for the answer of a light agent; what it is charged is noted in credit_usage, once.';

revoke all on function public.switchyard_answers_settle(uuid, text, integer, uuid, jsonb)
from public, anon, authenticated;
grant execute on function public.switchyard_answers_settle(uuid, text, integer, uuid, jsonb) to service_role;
