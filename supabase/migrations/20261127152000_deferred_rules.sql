-- A rule of the app that waits for the end of the transaction would refuse all of it: it is asked before, where it can be
-- passed over. Afterwards, in the same transaction, such rules are asked at once.

create or replace function switchyard.usage_keep(
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
    set constraints all immediate;
  exception
    -- The agent is gone, or never had a row, and the app's table wants one.
    when foreign_key_violation then
      insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, p_operation, p_metadata || jsonb_build_object('agent_id', p_agent_id));
      set constraints all immediate;
  end;
exception
  -- Not a rule but a bad moment: whoever asks again may find a better one, and all of it is done then.
  when transaction_rollback or insufficient_resources or operator_intervention or system_error or lock_not_available then
    raise;
  when others then
    raise warning 'what % has used is not in credit_usage: %', p_what, sqlerrm;
end
$$;

create or replace function switchyard.conversation_answer(r switchyard.runs, p_status text, p_response text) returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into public.messages (conversation_id, role, content, metadata, created_at)
  select c.id, 'assistant', p_response, jsonb_build_object('run_id', r.id, 'status', p_status),
    switchyard.turn_at(c.id)
  from public.conversations c
  where c.id = r.conversation_id and c.user_id = r.user_id
  for key share skip locked;

  update public.conversations c
  set updated_at = clock_timestamp()
  from (
    select id from public.conversations
    where id = r.conversation_id and user_id = r.user_id
    for no key update skip locked
  ) free
  where c.id = free.id;

  set constraints all immediate;
exception
  -- As in usage_keep.
  when transaction_rollback or insufficient_resources or operator_intervention or system_error or lock_not_available then
    raise;
  when others then
    raise warning 'the answer of run % is not in its conversation: %', r.id, sqlerrm;
end
$$;
