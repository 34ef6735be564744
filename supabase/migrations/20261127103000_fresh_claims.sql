-- Claiming a run that nobody has executed yet, which is nearly every claim: it has no journal, no step that was
-- begun and no call that was lost, so none is looked for.

create function switchyard.claim_head(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', r.id,
    'user_id', r.user_id,
    'agent_id', r.agent_id,
    'kind', r.kind,
    'agent', r.agent,
    'messages', r.messages,
    'input', r.input,
    'conversation_id', r.conversation_id,
    'token', r.lease_token,
    'epoch', r.epoch,
    'last_seq', r.last_seq,
    'hold_credits', r.hold_credits,
    'accrued_credits', r.accrued_credits,
    'usage', r.usage,
    'cancel_requested', r.cancel_requested_at is not null,
    'waited_ms', switchyard.epoch_ms(clock_timestamp()) - switchyard.epoch_ms(r.queued_at),
    'executed_ms', r.executed_ms,
    'deadline_in_ms', switchyard.epoch_ms(r.deadline_at) - switchyard.epoch_ms(clock_timestamp())
  )
$$;

comment on function switchyard.claim_head is 'A claimed run without what earlier claims have left.';

create or replace function switchyard.claim_state(r switchyard.runs) returns jsonb
language sql stable
set search_path = ''
as $$
  select switchyard.claim_head(r) || jsonb_build_object(
    'steps', coalesce((
      select jsonb_agg(jsonb_build_object(
        'name', s.name,
        'blob', s.blob,
        'is_here', s.total_bytes <= 4000000,
        'result', case when s.total_bytes <= 4000000 then s.result end
      ))
      from (
        select name, blob, result, sum(size_bytes) over (order by finished_at, name) as total_bytes
        from switchyard.steps
        where run_id = r.id
      ) s
    ), '[]'),
    'unfinished', coalesce((
      select jsonb_object_agg(u.step, u.first_seq - 1)
      from (
        select e.data ->> 'step' as step, min(e.seq) as first_seq
        from switchyard.events e
        where e.run_id = r.id
          and e.data ? 'step'
          and e.type <> 'retry'
          and not exists (
            select 1 from switchyard.steps s where s.run_id = r.id and s.name = e.data ->> 'step'
          )
        group by 1
      ) u
    ), '{}')
  )
$$;

-- Not in SQL, whose functions are planned whole at every call on Postgres before 18.
create or replace function switchyard.claim_json(r switchyard.runs) returns jsonb
language plpgsql stable
set search_path = ''
as $$
begin
  if r.epoch = 1 then
    return switchyard.claim_head(r) || '{"steps": [], "unfinished": {}, "lost_calls": 0}';
  end if;
  return switchyard.claim_state(r) || jsonb_build_object('lost_calls', (
    select count(distinct c.step)
    from switchyard.calls c
    where c.run_id = r.id
      and c.epoch = r.epoch - 1
      and not exists (select 1 from switchyard.steps s where s.run_id = r.id and s.name = c.step)
  ));
end
$$;

revoke all on function switchyard.claim_head(switchyard.runs) from public, anon, authenticated;
