-- Runs that were lost and have journaled no step since are kept apart, as any of them may be what ends its worker: two
-- are executed by one worker only if together they have lost fewer than three. That the next loss would end one keeps
-- everything from it for 5 s, and a busy machine may take longer to go down: another of its sort, put beside it then, would
-- be taken for poison with it. A run that was never lost is kept from nobody.

drop function switchyard.oldest_waiting(text[], uuid[]);
drop function switchyard.oldest_behind(text[], uuid[]);

-- A long queue of one user who holds half must not be read to its end to find somebody else. Of each kind the first
-- c_look are looked at; behind them c_look users, from a random one on, so that with more of them each has a chance.
create function switchyard.oldest_behind(p_kinds text[], p_without uuid[], p_losses integer) returns switchyard.runs
language plpgsql
set search_path = ''
as $$
declare
  c_look constant integer := 200;
  c_from constant uuid := gen_random_uuid();
  c_first constant uuid := '00000000-0000-0000-0000-000000000000';
  v_head record;
  r switchyard.runs;
begin
  for v_head in
    with recursive people as (
      select w.kind, f.user_id, f.at as began_at, 1 as number
      from unnest(p_kinds) w (kind)
      cross join lateral (values (c_from), (c_first)) b (at)
      cross join lateral (
        select q.user_id, b.at from switchyard.runs q
        where q.ended_at is null and q.lease_token is null and q.kind = w.kind and q.user_id >= b.at
        order by q.user_id
        limit 1
      ) f
      union all
      select p.kind, n.user_id, p.began_at, p.number + 1
      from people p
      cross join lateral (
        select q.user_id from switchyard.runs q
        where q.ended_at is null and q.lease_token is null and q.kind = p.kind and q.user_id > p.user_id
        order by q.user_id
        limit 1
      ) n
      where p.number < c_look
    )
    select p.kind, p.user_id
    from (select distinct kind, user_id from people where user_id <> all (p_without)) p
    cross join lateral (
      select q.queued_at, q.id from switchyard.runs q
      where q.ended_at is null and q.lease_token is null and q.kind = p.kind and q.user_id = p.user_id
        and q.attempts <= p_losses
      order by q.queued_at, q.id
      limit 1
    ) h
    order by h.queued_at, h.id
  loop
    select q.* into r from switchyard.runs q
    where q.ended_at is null and q.lease_token is null and q.kind = v_head.kind and q.user_id = v_head.user_id
      and q.attempts <= p_losses
    order by q.queued_at, q.id
    limit 1
    for no key update skip locked;
    if found then
      return r;
    end if;
  end loop;
  return null;
end
$$;

comment on function switchyard.oldest_behind is
  'A waiting run of somebody else, of at most p_losses in a row, however long the queues are; the oldest of the users it comes to see.';

create function switchyard.oldest_waiting(p_kinds text[], p_without uuid[], p_losses integer) returns switchyard.runs
language plpgsql
set search_path = ''
as $$
declare
  c_look constant integer := 200;
  v_kind text;
  v_id uuid;
  r switchyard.runs;
begin
  if cardinality(p_without) = 0 then
    for v_kind in
      select w.kind
      from unnest(p_kinds) w (kind)
      cross join lateral (
        select q.queued_at, q.id from switchyard.runs q
        where q.status = 'queued' and q.kind = w.kind and q.attempts <= p_losses
        order by q.queued_at, q.id
        limit 1
      ) h
      order by h.queued_at, h.id
    loop
      select q.* into r from switchyard.runs q
      where q.status = 'queued' and q.kind = v_kind and q.attempts <= p_losses
      order by q.queued_at, q.id
      limit 1
      for no key update skip locked;
      if found then
        return r;
      end if;
    end loop;
    return null;
  end if;

  for v_id in
    select n.id
    from unnest(p_kinds) w (kind)
    cross join lateral (
      select q.user_id, q.queued_at, q.id from switchyard.runs q
      where q.status = 'queued' and q.kind = w.kind and q.attempts <= p_losses
      order by q.queued_at, q.id
      limit c_look
    ) n
    where n.user_id <> all (p_without)
    order by n.queued_at, n.id
  loop
    select q.* into r from switchyard.runs q
    where q.id = v_id and q.status = 'queued' and q.attempts <= p_losses
    for no key update skip locked;
    if found then
      return r;
    end if;
  end loop;
  return switchyard.oldest_behind(p_kinds, p_without, p_losses);
end
$$;

comment on function switchyard.oldest_waiting is
  'The oldest waiting run of these kinds, of none of these users and of at most p_losses in a row, locked; null when there is none. Passes over what others have locked.';

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
  -- Whoever has shown nothing of the sort for so long is taken for harmless.
  c_apart constant interval := '15 s';
  r switchyard.runs;
  -- An entry for each run the worker holds.
  v_users uuid[];
  v_kinds text[];
  v_full uuid[];
  v_free text[];
  v_spent text[];
  -- The most that a run may have lost in a row to be claimed.
  v_losses integer;
  -- Whoever does not hold half only becomes fewer while this goes on.
  v_may_be_fair boolean := true;
  v_may_be_others boolean := true;
  v_is_suspect boolean;
  v_claimed jsonb := '[]';
begin
  select
    coalesce(array_agg(user_id), '{}'),
    coalesce(array_agg(kind), '{}'),
    c_suspect - coalesce(max(attempts - 1) filter (where attempts > 1 and counted_from > clock_timestamp() - c_apart), 0)
  into v_users, v_kinds, v_losses
  from switchyard.runs
  where status = 'running' and worker = p_worker;

  for i in 1 .. p_limit loop
    v_full := array(select u from unnest(v_users) u group by u having count(*) >= c_most);
    v_spent := array(select k from unnest(v_kinds) k where k = any (p_kinds) group by k having count(*) >= c_most);
    v_free := array(select k from unnest(p_kinds) k where k <> all (v_spent));
    r := null;
    if v_may_be_fair then
      r := switchyard.oldest_waiting(v_free, v_full, v_losses);
      v_may_be_fair := r.id is not null;
    end if;
    if r.id is null and v_may_be_others then
      r := switchyard.oldest_waiting(v_spent, v_full, v_losses);
      v_may_be_others := r.id is not null;
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_free, c_nobody, v_losses);
    end if;
    if r.id is null then
      r := switchyard.oldest_waiting(v_spent, c_nobody, v_losses);
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
  'Leases up to p_limit queued runs to the worker, each under a fresh token; while others wait, a user and a kind hold at most half of p_slots. One that the next loss would end comes alone, and beside none that was lost as well.';

revoke all on function switchyard.oldest_behind(text[], uuid[], integer) from public, anon, authenticated;
revoke all on function switchyard.oldest_waiting(text[], uuid[], integer) from public, anon, authenticated;
