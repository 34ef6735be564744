-- What the app's rules keep from ending keeps nothing else from it: one refused hold none of its batch, and a batch of
-- refused ones not those behind it, up to ten batches a call. The next batch is taken only when all of this one was
-- refused, because accounts are locked in one order within a batch, and what is refused keeps no lock; where only some
-- were, whoever calls comes back for the others. A rule that is deferred to the end of the transaction refuses all of it.

create or replace function public.switchyard_credits_expire(p_after_s double precision, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_batches constant integer := 10;
  v_until timestamptz := clock_timestamp() - make_interval(secs => p_after_s);
  v_batch switchyard.request_holds[];
  v_last switchyard.request_holds;
  h switchyard.request_holds;
  v_released integer := 0;
  v_is_full boolean;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('switchyard.expire', 0)) then
    return jsonb_build_object('released', 0, 'more', false);
  end if;
  for i in 1..c_batches loop
    v_batch := array(
      select r from switchyard.request_holds r
      where r.held_at < v_until
        and (v_last.key is null or (r.held_at, r.user_id, r.key) > (v_last.held_at, v_last.user_id, v_last.key))
      order by r.held_at, r.user_id, r.key
      limit p_limit
    );
    for h in
      select * from unnest(v_batch) b order by b.user_id, b.key
    loop
      begin
        perform switchyard.request_close(h.user_id, h.key, 0);
        v_released := v_released + 1;
      exception
        -- What may be otherwise in the next moment: the batch is tried again.
        when transaction_rollback or insufficient_resources or operator_intervention or system_error
          or lock_not_available
        then
          raise;
        when others then
          raise warning 'hold % of user % cannot be released: %', h.key, h.user_id, sqlerrm;
      end;
    end loop;
    v_is_full := cardinality(v_batch) = p_limit;
    exit when v_released > 0 or not v_is_full;
    v_last := v_batch[p_limit];
  end loop;
  return jsonb_build_object('released', v_released, 'more', v_released > 0 and v_is_full);
end
$$;

comment on function public.switchyard_credits_expire is
  'Releases up to p_limit holds of requests that nobody has ended in p_after_s seconds; `more` says that there may be more.';

-- First those whose lease has ended, of which there are never more than slots unless they are refused, then those that
-- waited too long, the longest first. Which ones is decided before they are ordered: user by user, so that two replicas
-- lock accounts in the same order. One that cannot be ended stays as it is, and the audit names it.
create or replace function public.switchyard_runs_reap(p_limit integer, p_queue_deadline_s double precision) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_batches constant integer := 10;
  r switchyard.runs;
  v_now timestamptz := clock_timestamp();
  v_due uuid[];
  v_refused uuid[] := '{}';
  v_reaped jsonb := '[]';
begin
  for i in 1..c_batches loop
    v_due := array(
      select q.id from switchyard.runs q
      where q.status = 'running' and q.lease_until < v_now and q.id <> all (v_refused)
      limit p_limit
      for no key update skip locked
    );
    v_due := v_due || array(
      select q.id from switchyard.runs q
      where q.charged_credits is null and q.lease_token is null and least(q.queue_deadline_at, q.deadline_at) < v_now
        and q.id <> all (v_refused)
      order by least(q.queue_deadline_at, q.deadline_at)
      limit p_limit - cardinality(v_due)
      for no key update skip locked
    );
    for r in
      select * from switchyard.runs where id = any (v_due) order by user_id, id
    loop
      begin
        v_reaped := v_reaped || switchyard.run_reap(r, v_now, p_queue_deadline_s);
      exception
        -- What may be otherwise in the next moment: the batch is tried again.
        when transaction_rollback or insufficient_resources or operator_intervention or system_error
          or lock_not_available
        then
          raise;
        when others then
          raise warning 'run % cannot be ended: %', r.id, sqlerrm;
      end;
    end loop;
    exit when jsonb_array_length(v_reaped) > 0 or cardinality(v_due) < p_limit;
    v_refused := v_refused || v_due;
  end loop;
  return v_reaped;
end
$$;
