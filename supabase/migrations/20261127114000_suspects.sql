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
  c_nobody constant uuid[] := '{}';
  -- One less than what makes a run poison: `switchyard_runs_reap`.
  c_suspect constant integer := 2;
  r switchyard.runs;
  -- An entry for each run the worker holds.
  v_users uuid[];
  v_kinds text[];
  v_full uuid[];
  v_free text[];
  v_spent text[];
  -- Whoever does not hold half only becomes fewer while this goes on.
  v_may_be_fair boolean := true;
  v_may_be_others boolean := true;
  v_is_suspect boolean;
  v_claimed jsonb := '[]';
begin
  select coalesce(array_agg(user_id), '{}'), coalesce(array_agg(kind), '{}') into v_users, v_kinds
  from switchyard.runs
  where status = 'running' and worker = p_worker;

  for i in 1 .. p_limit loop
    v_full := array(select u from unnest(v_users) u group by u having count(*) >= c_most);
    v_spent := array(select k from unnest(v_kinds) k where k = any (p_kinds) group by k having count(*) >= c_most);
    v_free := array(select k from unnest(p_kinds) k where k <> all (v_spent));
    r := null;
    if v_may_be_fair then
      r := switchyard.oldest_waiting(v_free, v_full);
      v_may_be_fair := r.id is not null;
    end if;
    if r.id is null and v_may_be_others then
      r := switchyard.oldest_waiting(v_spent, v_full);
      v_may_be_others := r.id is not null;
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_free, c_nobody);
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_spent, c_nobody);
    end if;
    exit when r.id is null;
    v_is_suspect := r.attempts >= c_suspect;
    exit when v_is_suspect and v_claimed <> '[]';
    r := switchyard.run_claim(r, p_worker, gen_random_uuid(), p_lease_s);
    v_claimed := v_claimed || (
      switchyard.claim_json(r) || case when v_is_suspect then '{"is_suspect": true}'::jsonb else '{}' end
    );
    exit when v_is_suspect;
    v_users := v_users || r.user_id;
    v_kinds := v_kinds || r.kind;
  end loop;
  return v_claimed;
end
$$;

comment on function public.switchyard_runs_claim is
  'Leases up to p_limit queued runs to the worker, each under a fresh token; while others wait, a user and a kind hold at most half of p_slots. One that the next loss would end comes alone.';
