-- Accepting a run of an agent that the caller has seen before, without asking for the agent first: one round
-- trip instead of two.

-- A run keeps the place in its trace beside its agent, and that is no part of what was seen.
-- The lock is the one that runs_submit takes, so that a repeated call never judges a run by an agent that has
-- changed since the first call.
create function public.switchyard_runs_submit_seen(
  p_run_id uuid,
  p_user_id uuid,
  p_agent_id uuid,
  p_agent jsonb,
  p_messages jsonb,
  p_input jsonb,
  p_input_base64 text,
  p_conversation_id uuid,
  p_metadata jsonb,
  p_key text,
  p_body_hash text,
  p_credits_owner text,
  p_hold_credits integer,
  p_deadline_s double precision,
  p_queue_deadline_s double precision,
  p_worker text,
  p_token uuid,
  p_lease_s double precision
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(p_run_id::text, 0));
  if not exists (select from switchyard.runs r where r.id = p_run_id and r.user_id = p_user_id)
    and switchyard.agent_snapshot(switchyard.agent_visible(p_user_id, p_agent_id)) <> p_agent - 'traceparent' then
    return null;
  end if;
  return public.switchyard_runs_submit(
    p_run_id, p_user_id, p_agent_id, p_agent, p_messages, p_input, p_input_base64, p_conversation_id, p_metadata,
    p_key, p_body_hash, p_credits_owner, p_hold_credits, p_deadline_s, p_queue_deadline_s, p_worker, p_token,
    p_lease_s
  );
end
$$;

comment on function public.switchyard_runs_submit_seen is
  'As switchyard_runs_submit, if p_agent is still what the agent''s row says; null, and nothing done, if it is not.';

revoke all on function public.switchyard_runs_submit_seen(
  uuid, uuid, uuid, jsonb, jsonb, jsonb, text, uuid, jsonb, text, text, text, integer, double precision,
  double precision, text, uuid, double precision
) from public, anon, authenticated;
grant execute on function public.switchyard_runs_submit_seen(
  uuid, uuid, uuid, jsonb, jsonb, jsonb, text, uuid, jsonb, text, text, text, integer, double precision,
  double precision, text, uuid, double precision
) to service_role;
