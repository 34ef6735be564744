-- A run that kills its process takes all others in it along, and after the third time they would all be taken for
-- poison together. So a run that the next loss would end, a suspect, is claimed by itself: nothing else comes with
-- it, and its worker is told, so that it claims nothing beside it either.
create or replace function public.switchyard_runs_claim(
  p_worker text, p_kinds text[], p_limit integer, p_slots integer, p_lease_s double precision
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_most constant integer := greatest(p_slots / 2, 1);
  -- One less than what makes a run poison: `switchyard_runs_reap`.
  c_suspect constant integer := 2;
  r switchyard.runs;
  v_full uuid[];
  v_others_wait boolean := true;
  v_is_suspect boolean := false;
  v_claimed jsonb := '[]';
begin
  select coalesce(array_agg(f.user_id), '{}') into v_full
  from (
    select user_id from switchyard.runs
    where status = 'running' and worker = p_worker
    group by user_id
    having count(*) >= c_most
  ) f;

  for i in 1 .. p_limit loop
    if v_others_wait then
      select q.* into r
      from switchyard.runs q
      where q.status = 'queued' and q.kind = any (p_kinds) and q.user_id <> all (v_full)
        and (q.attempts < c_suspect or i = 1)
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      v_others_wait := found;
    end if;
    if not v_others_wait then
      select q.* into r
      from switchyard.runs q
      where q.status = 'queued' and q.kind = any (p_kinds) and (q.attempts < c_suspect or i = 1)
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      exit when not found;
    end if;
    v_is_suspect := r.attempts >= c_suspect;
    r := switchyard.run_claim(r, p_worker, gen_random_uuid(), p_lease_s);
    v_claimed := v_claimed || (switchyard.claim_json(r) || jsonb_build_object('is_suspect', v_is_suspect));
    exit when v_is_suspect;
    if v_others_wait and c_most <= (
      select count(*) from switchyard.runs
      where status = 'running' and worker = p_worker and user_id = r.user_id
    ) then
      v_full := v_full || r.user_id;
    end if;
  end loop;
  return v_claimed;
end
$$;

comment on function public.switchyard_runs_claim is
  'Leases up to p_limit queued runs to the worker, each under a fresh token; one that the next loss would end comes alone.';
