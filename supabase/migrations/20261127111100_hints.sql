-- What replicas tell each other; whoever listens on the channel hears it when this has been committed.

create function public.switchyard_hints_tell(p_payload text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform pg_catalog.pg_notify('switchyard', p_payload);
  return jsonb_build_object('told', true);
end
$$;

comment on function public.switchyard_hints_tell is
  'Tells all processes that listen on the channel switchyard; p_payload below 8,000 bytes. Never the record of anything.';

revoke all on function public.switchyard_hints_tell(text) from public, anon, authenticated;
grant execute on function public.switchyard_hints_tell(text) to service_role;
