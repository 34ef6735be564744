-- A token that another backend sends names one run, by the key that the run was made under, and opens no other.

create function public.switchyard_runs_check_key(p_user_id uuid, p_run_id uuid, p_key text) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
begin
  if not exists (
    select from switchyard.request_keys k
    where k.user_id = p_user_id and k.key = p_key and k.run_id = p_run_id
  ) then
    perform switchyard.refuse('PT404', 'run_not_found', 'no such run, or it is not yours');
  end if;
  return null;
end
$$;

comment on function public.switchyard_runs_check_key is
  'Refuses with PT404 a run that the user has not made under this key; keys are known for 90 days.';

revoke all on function public.switchyard_runs_check_key(uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.switchyard_runs_check_key(uuid, uuid, text) to service_role;
