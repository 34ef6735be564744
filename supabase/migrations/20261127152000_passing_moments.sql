-- An answer is left out of its conversation for a rule of the app, and not for a deadlock or a want of memory.

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
exception
  -- Whoever ends the run asks again and may find a better moment.
  when transaction_rollback or insufficient_resources or operator_intervention or system_error or lock_not_available then
    raise;
  when others then
    raise warning 'the answer of run % is not in its conversation: %', r.id, sqlerrm;
end
$$;
