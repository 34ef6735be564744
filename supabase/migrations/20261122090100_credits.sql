-- Money. Every change of an account is one row of the ledger with a unique key, written in the same
-- transaction as its cause:
--
--   opening    an account appears with what it had            amount = balance
--   external   other code wrote credits_remaining             amount = the difference
--   closing    an account disappears                          amount = -balance
--   hold       credits are promised to a run or request       held   = +credits
--   settle     a hold ends with a charge                      amount = -charge, held = -credits
--   release    a hold ends without one                        held   = -credits
--   charge     deduct_credits, without a hold before          amount = -credits
--
-- balance = sum(amount), held = sum(held). A hold is closed at most once: `hold_key` is unique.

create table switchyard.ledger (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  kind text not null
    check (kind in ('opening', 'external', 'closing', 'hold', 'settle', 'release', 'charge')),
  amount integer not null,
  held integer not null,
  key text,
  hold_key text,
  run_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  check (kind in ('opening', 'external', 'closing') or key is not null),
  check ((kind in ('settle', 'release')) = (hold_key is not null)),
  check (kind <> 'hold' or (amount = 0 and held > 0)),
  check (kind not in ('settle', 'charge') or amount < 0),
  check (kind <> 'release' or amount = 0)
);

create unique index ledger_key_once on switchyard.ledger (user_id, key) where key is not null;
create unique index ledger_hold_closed_once on switchyard.ledger (user_id, hold_key) where hold_key is not null;
create index ledger_run_idx on switchyard.ledger (run_id) where run_id is not null;
create index ledger_user_idx on switchyard.ledger (user_id, id);
create index ledger_closing_idx on switchyard.ledger (user_id, id) where kind = 'closing';

comment on table switchyard.ledger is 'Every change of every account, in whole credits; only ever appended to.';
comment on column switchyard.ledger.amount is 'Credits added to the balance; negative for a charge.';
comment on column switchyard.ledger.held is 'Credits added to what is held; negative when a hold ends.';
comment on column switchyard.ledger.key is 'Names the economic effect; the same effect is never written twice.';
comment on column switchyard.ledger.hold_key is 'The key of the hold this row ends.';

alter table switchyard.ledger enable row level security;

create function switchyard.ledger_is_append_only() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'the ledger is only appended to';
end
$$;

comment on function switchyard.ledger_is_append_only is 'Refuses to change or remove a ledger row: a refund is a new row.';

create trigger ledger_is_append_only before update or delete or truncate on switchyard.ledger
  for each statement execute function switchyard.ledger_is_append_only();

-- Our own writes say so for the length of one statement (`switchyard.own_write`); anything else that
-- changes an account is recorded here, so that the sum stays right whatever the app does.
create function switchyard.balance_changed() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    insert into switchyard.ledger (user_id, kind, amount, held)
    values (new.user_id, 'opening', coalesce(new.credits_remaining, 0), new.held);
  elsif tg_op = 'DELETE' then
    insert into switchyard.ledger (user_id, kind, amount, held)
    values (old.user_id, 'closing', -coalesce(old.credits_remaining, 0), -old.held);
  elsif coalesce(current_setting('switchyard.own_write', true), '') <> 'on' then
    insert into switchyard.ledger (user_id, kind, amount, held)
    values (
      new.user_id, 'external', coalesce(new.credits_remaining, 0) - coalesce(old.credits_remaining, 0),
      new.held - old.held
    );
  end if;
  return null;
end
$$;

comment on function switchyard.balance_changed is 'Keeps balance = sum of the ledger when other code writes an account.';

insert into switchyard.ledger (user_id, kind, amount, held)
select user_id, 'opening', coalesce(credits_remaining, 0), held from public.credit_balances;

create trigger switchyard_balance_added after insert or delete on public.credit_balances
  for each row execute function switchyard.balance_changed();
create trigger switchyard_balance_changed after update on public.credit_balances
  for each row
  when (old.credits_remaining is distinct from new.credits_remaining or old.held is distinct from new.held)
  execute function switchyard.balance_changed();

create function switchyard.account_move(p_user_id uuid, p_amount integer, p_held integer) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_month date := date_trunc('month', clock_timestamp() at time zone 'UTC')::date;
begin
  perform set_config('switchyard.own_write', 'on', true);
  update public.credit_balances b
  set credits_remaining = b.credits_remaining + p_amount,
      held = b.held + p_held,
      credits_used_this_month = case
        when p_amount >= 0 then b.credits_used_this_month
        when coalesce(b.usage_month, v_month) = v_month then b.credits_used_this_month - p_amount
        else -p_amount
      end,
      usage_month = case when p_amount < 0 then v_month else b.usage_month end
  where b.user_id = p_user_id;
  perform set_config('switchyard.own_write', 'off', true);
end
$$;

comment on function switchyard.account_move is 'Moves an account by whole credits; the caller holds its lock and writes the ledger.';

create function switchyard.overdraft(p_needed integer, p_available integer) returns void
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT402' using
    message = 'insufficient_credits',
    detail = jsonb_build_object('needed', p_needed, 'available', p_available)::text;
end
$$;

comment on function switchyard.overdraft is 'Refuses with SQLSTATE PT402, which PostgREST answers as HTTP 402.';

create function switchyard.available(p_user_id uuid) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_available integer;
begin
  select b.credits_remaining - b.held into v_available
  from public.credit_balances b
  where b.user_id = p_user_id
  for no key update;
  return greatest(coalesce(v_available, 0), 0);
end
$$;

comment on function switchyard.available is 'Credits that may be spent now; locks the account until the transaction ends.';

create function switchyard.hold_open(p_user_id uuid, p_credits integer, p_key text, p_run_id uuid default null)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_available integer := switchyard.available(p_user_id);
begin
  if v_available < p_credits then
    perform switchyard.overdraft(p_credits, v_available);
  end if;
  perform switchyard.account_move(p_user_id, 0, p_credits);
  insert into switchyard.ledger (user_id, kind, amount, held, key, run_id)
  values (p_user_id, 'hold', 0, p_credits, p_key || ':hold', p_run_id);
end
$$;

comment on function switchyard.hold_open is 'Promises credits under the key; PT402 when the account cannot cover them.';

-- A charge is bounded by the hold and by what the account has: an external cut below `held` lets running
-- runs end without taking the balance below zero.
create function switchyard.hold_close(p_user_id uuid, p_key text, p_charge integer) returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_hold switchyard.ledger;
  v_closed switchyard.ledger;
  v_balance integer;
  v_held integer;
  v_charge integer;
begin
  select b.credits_remaining, b.held into v_balance, v_held
  from public.credit_balances b
  where b.user_id = p_user_id
  for no key update;

  select * into v_hold from switchyard.ledger l
  where l.user_id = p_user_id and l.key = p_key || ':hold';
  if not found then
    return 0;
  end if;
  select * into v_closed from switchyard.ledger l
  where l.user_id = p_user_id and l.hold_key = v_hold.key;
  if found then
    return -v_closed.amount;
  end if;

  -- The account it was promised from is gone, and the promise with it: another one owes it nothing.
  if exists (
    select 1 from switchyard.ledger l
    where l.user_id = p_user_id and l.kind = 'closing' and l.id > v_hold.id
  ) then
    v_balance := 0;
    v_held := 0;
  end if;

  v_charge := greatest(least(coalesce(p_charge, 0), v_hold.held, coalesce(v_balance, 0)), 0);
  v_held := least(v_hold.held, coalesce(v_held, 0));
  perform switchyard.account_move(p_user_id, -v_charge, -v_held);
  insert into switchyard.ledger (user_id, kind, amount, held, key, hold_key, run_id)
  values (
    p_user_id,
    case when v_charge > 0 then 'settle' else 'release' end,
    -v_charge,
    -v_held,
    p_key || case when v_charge > 0 then ':settle' else ':release' end,
    v_hold.key,
    v_hold.run_id
  );
  return v_charge;
end
$$;

comment on function switchyard.hold_close is
  'Ends a hold once, charging at most the hold; again, or without one, it only answers what was charged.';

create function switchyard.credits_of(p_user_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'balance', coalesce(max(b.credits_remaining), 0),
    'held', coalesce(max(b.held), 0),
    'available', greatest(coalesce(max(b.credits_remaining - b.held), 0), 0),
    'plan', coalesce(max(b.plan_type), 'free'),
    'used_this_month', coalesce(max(b.credits_used_this_month) filter (
      where coalesce(b.usage_month, date_trunc('month', now() at time zone 'UTC')::date)
        = date_trunc('month', now() at time zone 'UTC')::date
    ), 0)
  )
  from public.credit_balances b
  where b.user_id = p_user_id
$$;

comment on function switchyard.credits_of is 'The account as the API shows it; zeros for a user without one.';

create function public.switchyard_credits_get(p_user_id uuid) returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select switchyard.credits_of(p_user_id)
$$;

comment on function public.switchyard_credits_get is '{balance, held, available, plan, used_this_month} in whole credits.';

create function switchyard.check_credits(p_credits integer) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_credits is null or p_credits < 1 then
    raise sqlstate 'PT400' using
      message = 'invalid_request',
      detail = '{"detail": "p_credits must be a whole number of credits, at least 1"}';
  end if;
end
$$;

comment on function switchyard.check_credits is 'Refuses an amount of credits that is not at least 1.';

create function switchyard.check_same_credits(p_before integer, p_now integer) returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_before <> p_now then
    raise sqlstate 'PT422' using
      message = 'key_conflict',
      detail = '{"detail": "this key was used before with another number of credits"}';
  end if;
end
$$;

comment on function switchyard.check_same_credits is 'Refuses a key that is used again for another amount.';

create function public.deduct_credits(p_user_id uuid, p_credits integer, p_key text default null) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_key text := coalesce(nullif(p_key, ''), gen_random_uuid()::text) || ':charge';
  v_available integer;
  v_before integer;
begin
  perform switchyard.check_credits(p_credits);
  -- The account's lock comes first: of two calls with one key, the second then sees the first's row.
  v_available := switchyard.available(p_user_id);
  select -l.amount into v_before from switchyard.ledger l where l.user_id = p_user_id and l.key = v_key;
  if found then
    perform switchyard.check_same_credits(v_before, p_credits);
    return switchyard.credits_of(p_user_id) || jsonb_build_object('charged', v_before);
  end if;
  if v_available < p_credits then
    perform switchyard.overdraft(p_credits, v_available);
  end if;
  perform switchyard.account_move(p_user_id, -p_credits, 0);
  insert into switchyard.ledger (user_id, kind, amount, held, key)
  values (p_user_id, 'charge', -p_credits, 0, v_key);
  return switchyard.credits_of(p_user_id) || jsonb_build_object('charged', p_credits);
end
$$;

comment on function public.deduct_credits is
  'Takes credits at once, honouring holds; PT402 when they are not there. With a key it takes effect once.';

create function public.switchyard_credits_hold(p_user_id uuid, p_credits integer, p_key text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_key text := 'request:' || p_key;
  v_before integer;
begin
  perform switchyard.check_credits(p_credits);
  perform switchyard.available(p_user_id);
  select l.held into v_before from switchyard.ledger l where l.user_id = p_user_id and l.key = v_key || ':hold';
  if found then
    perform switchyard.check_same_credits(v_before, p_credits);
  else
    perform switchyard.hold_open(p_user_id, p_credits, v_key);
  end if;
  return switchyard.credits_of(p_user_id);
end
$$;

comment on function public.switchyard_credits_hold is 'Holds credits for a request that is not a run; once a key.';

create function public.switchyard_credits_settle(p_user_id uuid, p_key text, p_credits integer) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_charged integer := switchyard.hold_close(p_user_id, 'request:' || p_key, p_credits);
begin
  return switchyard.credits_of(p_user_id) || jsonb_build_object('charged', v_charged);
end
$$;

comment on function public.switchyard_credits_settle is 'Ends a request''s hold with a charge, at most the hold; once a key.';

create function public.switchyard_credits_release(p_user_id uuid, p_key text) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_charged integer := switchyard.hold_close(p_user_id, 'request:' || p_key, 0);
begin
  return switchyard.credits_of(p_user_id) || jsonb_build_object('charged', v_charged);
end
$$;

comment on function public.switchyard_credits_release is 'Ends a request''s hold without a charge; once a key.';

-- Plan limits: how many runs and requests a plan may start.

create table switchyard.plans (
  plan_type text primary key,
  per_minute integer not null check (per_minute > 0),
  per_hour integer not null check (per_hour > 0),
  monthly_credits integer not null check (monthly_credits >= 0)
);

comment on table switchyard.plans is 'What each plan allows; an unknown plan counts as free.';

alter table switchyard.plans enable row level security;

insert into switchyard.plans (plan_type, per_minute, per_hour, monthly_credits)
values
  ('free', 5, 50, 50),
  ('starter', 15, 200, 100),
  ('pro', 30, 500, 500),
  ('business', 60, 1000, 1000),
  ('businessplus', 120, 2500, 2500),
  ('enterprise', 300, 10000, 10000);

create table switchyard.rate_windows (
  user_id uuid not null,
  window_s integer not null check (window_s in (60, 3600)),
  window_start timestamptz not null,
  used integer not null,
  used_before integer not null,
  primary key (user_id, window_s)
) with (fillfactor = 70);

comment on table switchyard.rate_windows is 'Sliding window counters: this window''s count and the one before.';
comment on column switchyard.rate_windows.window_s is 'Length of the window in seconds.';
comment on column switchyard.rate_windows.used_before is 'Count of the window before; weighs as much as of it still is in sight.';

alter table switchyard.rate_windows enable row level security;

-- A sliding window counter: the last window's count fades out linearly, so that a burst at the border of
-- two windows cannot use both. A refused call counts for nothing.
create function switchyard.rate_take(p_user_id uuid, p_window_s integer, p_limit integer) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_start timestamptz := date_bin(make_interval(secs => p_window_s), v_now, timestamptz 'epoch');
  -- A call that waited for another one may find that one's window begun already.
  v_next timestamptz := v_start + make_interval(secs => p_window_s);
  v_left double precision := 1 - extract(epoch from v_now - v_start) / p_window_s;
  v_row switchyard.rate_windows;
begin
  insert into switchyard.rate_windows as w (user_id, window_s, window_start, used, used_before)
  values (p_user_id, p_window_s, v_start, 1, 0)
  on conflict (user_id, window_s) do update
  set window_start = case when w.window_start between v_start and v_next then w.window_start else v_start end,
      used = case when w.window_start between v_start and v_next then w.used + 1 else 1 end,
      used_before = case
        when w.window_start between v_start and v_next then w.used_before
        when w.window_start = v_start - make_interval(secs => p_window_s) then w.used
        else 0
      end
  returning * into v_row;

  if v_row.used + floor(v_row.used_before * v_left) > p_limit then
    raise sqlstate 'PT429' using
      message = 'rate_limited',
      detail = jsonb_build_object(
        'retryAfterS', greatest(ceil(
          p_window_s * case when v_row.used > p_limit then v_left else 1.0 / greatest(v_row.used_before, 1) end
        ), 1),
        'quota', p_limit,
        'policy', format('%s runs in %s s', p_limit, p_window_s)
      )::text;
  end if;
end
$$;

comment on function switchyard.rate_take is 'Counts one call in the window, or refuses with PT429, which also takes the count back.';

create function switchyard.limits_take(p_user_id uuid) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_plan switchyard.plans;
begin
  select p.* into v_plan
  from switchyard.plans p
  left join public.credit_balances b on b.user_id = p_user_id
  where p.plan_type in (b.plan_type, 'free')
  order by p.plan_type = b.plan_type desc nulls last
  limit 1;
  perform switchyard.rate_take(p_user_id, 60, v_plan.per_minute);
  perform switchyard.rate_take(p_user_id, 3600, v_plan.per_hour);
end
$$;

comment on function switchyard.limits_take is 'Counts one run or request against the user''s plan; PT429 when it is over.';

create function public.switchyard_limits_take(p_user_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  perform switchyard.limits_take(p_user_id);
  return jsonb_build_object('allowed', true);
end
$$;

comment on function public.switchyard_limits_take is 'The plan limit, for edge functions; runs_submit counts by itself.';

revoke all on all functions in schema switchyard from public, anon, authenticated;
revoke all on function
  public.switchyard_credits_get(uuid),
  public.deduct_credits(uuid, integer, text),
  public.switchyard_credits_hold(uuid, integer, text),
  public.switchyard_credits_settle(uuid, text, integer),
  public.switchyard_credits_release(uuid, text),
  public.switchyard_limits_take(uuid)
from public, anon, authenticated;
grant execute on function
  public.switchyard_credits_get(uuid),
  public.deduct_credits(uuid, integer, text),
  public.switchyard_credits_hold(uuid, integer, text),
  public.switchyard_credits_settle(uuid, text, integer),
  public.switchyard_credits_release(uuid, text),
  public.switchyard_limits_take(uuid)
to service_role;
