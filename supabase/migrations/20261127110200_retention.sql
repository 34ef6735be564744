-- What is removed in the end, and how much at a time.
--
--   runs, events, steps, calls, blobs   p_keep_days after the run's end, whole runs
--   request_keys                        after 90 days
--   blobs with a date                   on that date
--   rate_windows                        a day after their last call
--   api_keys that were revoked          beyond the newest 100 of their user
--   workers                             when they leave, or an hour after (switchyard_workers_seen)
--   ledger                              never: a balance is its sum
--   agents, conversations, messages, credit_usage, credit_balances: the app's own to remove; they go with their user

-- A call removes about p_limit rows of events, or of runs where they have fewer, so that it is over soon however long
-- the logs are. Of a run with more than that, the log goes first, a piece a call, and the run with its last piece:
-- meanwhile its readers are told of the gap. Two processes at once would only wait for each other's pages.
create or replace function public.switchyard_runs_purge(p_keep_days integer, p_limit integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  c_events_a_run constant integer := 10;
  c_most_events constant integer := p_limit * c_events_a_run;
  v_whole uuid[];
  v_long uuid;
  v_runs integer := 0;
  v_pieces integer := 0;
  v_keys integer;
  v_blobs integer;
  v_windows integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('switchyard.purge', 0)) then
    return jsonb_build_object('runs', 0, 'keys', 0, 'more', false);
  end if;

  with old as (
    select id, last_seq, ended_at from switchyard.runs
    where ended_at < clock_timestamp() - make_interval(days => p_keep_days)
    order by ended_at
    limit p_limit
    for update skip locked
  ),
  weighed as (
    select id, row_number() over oldest as place, sum(last_seq) over oldest as events
    from old
    window oldest as (order by ended_at, id)
  )
  select
    array_agg(id) filter (where events <= c_most_events),
    min(id::text) filter (where place = 1 and events > c_most_events)
  into v_whole, v_long
  from weighed;

  if v_long is not null then
    delete from switchyard.events
    where run_id = v_long and seq in (
      select seq from switchyard.events where run_id = v_long order by seq limit c_most_events
    );
    get diagnostics v_pieces = row_count;
    if v_pieces < c_most_events then
      v_whole := array[v_long];
    end if;
  end if;
  delete from switchyard.runs where id = any (v_whole);
  get diagnostics v_runs = row_count;

  -- Where the rows stand is known, and they are locked: they need not be looked for a second time.
  delete from switchyard.request_keys
  where ctid = any (array(
    select ctid from switchyard.request_keys
    where created_at < clock_timestamp() - interval '90 days'
    order by created_at
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_keys = row_count;
  delete from switchyard.blobs
  where ctid = any (array(
    select ctid from switchyard.blobs
    where expires_at < clock_timestamp()
    order by expires_at
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_blobs = row_count;
  delete from switchyard.rate_windows
  where ctid = any (array(
    select ctid from switchyard.rate_windows
    where window_start < clock_timestamp() - interval '1 day'
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_windows = row_count;
  return jsonb_build_object(
    'runs', v_runs,
    'keys', v_keys,
    'more', v_pieces = c_most_events
      or coalesce(cardinality(v_whole), 0) > 0
      or greatest(v_keys, v_blobs, v_windows) = p_limit
  );
end
$$;

comment on function public.switchyard_runs_purge is
  'Removes up to p_limit runs that ended p_keep_days ago, with all they left, and what else has had its time; `more` says that there may be more. One call at a time, others answer that there is nothing.';

-- Whoever makes and revokes keys all day leaves a row each time; the newest hundred are what a list is good for.
create or replace function public.switchyard_keys_create(p_user_id uuid, p_name text, p_hash text, p_prefix text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  k public.api_keys;
begin
  if coalesce(p_hash, '') !~ '^[0-9a-f]{64}$' or length(p_prefix) is distinct from 12 then
    perform switchyard.refuse('PT400', 'invalid_request', 'a key is kept as its SHA-256 in hex and its first 12 characters');
  end if;
  if coalesce(length(p_name), 0) not between 1 and 100 then
    perform switchyard.refuse('PT422', 'invalid_body', 'a key wants a name of 1 to 100 characters');
  end if;
  if not exists (select 1 from auth.users u where u.id = p_user_id) then
    perform switchyard.refuse('PT400', 'invalid_request', 'there is no such user');
  end if;
  -- One at a time for each user, or two calls at once would both find room for the last key.
  perform pg_advisory_xact_lock(hashtextextended('switchyard.keys ' || p_user_id, 0));
  if (select count(*) from public.api_keys a where a.user_id = p_user_id and a.is_active) >= 20 then
    perform switchyard.refuse('PT422', 'invalid_body', 'there are 20 active keys already; revoke one that is not used');
  end if;
  delete from public.api_keys
  where id in (
    select a.id from public.api_keys a
    where a.user_id = p_user_id and not a.is_active
    order by a.created_at desc, a.id desc
    offset 100
  );
  insert into public.api_keys (user_id, key_name, key_hash, key_prefix)
  values (p_user_id, p_name, p_hash, p_prefix)
  returning * into k;
  return jsonb_build_object(
    'id', k.id, 'name', k.key_name, 'prefix', k.key_prefix, 'created_ms', switchyard.epoch_ms(k.created_at)
  );
end
$$;
