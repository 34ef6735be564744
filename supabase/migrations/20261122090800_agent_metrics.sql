-- What an agent has cost its callers, for the one who owns it.

-- The metadata is the app's to write too: what is no run's id and no end of a run is not shown as one. Of runs that
-- other users paid for the owner sees the price and the moment, not the number by which they are looked up.
create function public.switchyard_agents_metrics(p_user_id uuid, p_agent_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if not exists (
    select from public.agents a
    where a.id = p_agent_id and a.user_id = p_user_id and coalesce(a.status, 'active') <> 'deleted'
  ) then
    perform switchyard.refuse('PT404', 'agent_not_found', 'no such agent, or it is not yours');
  end if;
  return (
    select jsonb_build_object('total_credits', coalesce(sum(u.credits_used), 0), 'total_calls', count(*))
    from public.credit_usage u
    where u.agent_id = p_agent_id
  ) || jsonb_build_object('recent_usage', coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'credits_used', n.credits_used,
      'operation_type', n.operation_type,
      'run_id', case when n.user_id = p_user_id then
        substring(n.metadata ->> 'run_id' from '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$')
      end,
      'status', case when switchyard.is_terminal(n.metadata ->> 'status') then n.metadata ->> 'status' end,
      'created_ms', switchyard.epoch_ms(n.created_at)
    )) order by n.created_at desc, n.id desc)
    from (
      select * from public.credit_usage u
      where u.agent_id = p_agent_id
      order by u.created_at desc, u.id desc
      limit 100
    ) n
  ), '[]'));
end
$$;

comment on function public.switchyard_agents_metrics is
  '{total_credits, total_calls, recent_usage: the newest 100 [{credits_used, operation_type, run_id?, status?, created_ms}]} of an agent the user owns, or PT404; whole credits, whoever paid; run_id of the user''s own runs only.';

revoke all on function public.switchyard_agents_metrics(uuid, uuid) from public, anon, authenticated;
grant execute on function public.switchyard_agents_metrics(uuid, uuid) to service_role;
