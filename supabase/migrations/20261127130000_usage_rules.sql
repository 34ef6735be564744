-- What the app's own rules refuse to note is charged all the same: the end of a run and the answer of a light agent
-- tell the app through one function.

create function switchyard.usage_keep(
  p_user_id uuid,
  p_agent_id uuid,
  p_credits integer,
  p_operation text,
  p_metadata jsonb,
  p_what text
) returns void
language plpgsql
set search_path = ''
as $$
begin
  -- Whoever deletes the user holds that row and waits for this account: the foreign key must not wait for it.
  perform from auth.users u where u.id = p_user_id for key share skip locked;
  if not found then
    return;
  end if;
  begin
    insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata)
    values (p_user_id, p_agent_id, p_credits, p_operation, p_metadata);
  exception
    -- The agent is gone, or never had a row, and the app's table wants one.
    when foreign_key_violation then
      insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, p_operation, p_metadata || jsonb_build_object('agent_id', p_agent_id));
  end;
exception
  -- Not a rule but a bad moment: whoever asks again may find a better one, and all of it is done then.
  when transaction_rollback or insufficient_resources or operator_intervention or system_error or lock_not_available then
    raise;
  when others then
    raise warning 'what % has used is not in credit_usage: %', p_what, sqlerrm;
end
$$;

comment on function switchyard.usage_keep is
  'Tells the app what p_what has cost, unless a constraint or a trigger of its table refuses; the ledger knows anyway.';

create or replace function switchyard.usage_note(r switchyard.runs, p_credits integer, p_metadata jsonb) returns void
language plpgsql
set search_path = ''
as $$
begin
  perform switchyard.usage_keep(r.user_id, r.agent_id, p_credits, 'agent_execution', p_metadata, 'run ' || r.id);
end
$$;

comment on function switchyard.usage_note is 'As usage_keep, for a run.';

create or replace function public.switchyard_answers_settle(
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
  if v_is_open and (v_account ->> 'charged')::integer > 0 then
    perform switchyard.usage_keep(
      p_user_id,
      p_agent_id,
      (v_account ->> 'charged')::integer,
      'agent_runtime',
      jsonb_build_object('kind', 'chat', 'status', 'succeeded', 'usage', coalesce(p_usage, '{}')),
      'an answer to user ' || p_user_id
    );
  end if;
  return v_account;
end
$$;

revoke all on function switchyard.usage_keep(uuid, uuid, integer, text, jsonb, text)
from public, anon, authenticated;
