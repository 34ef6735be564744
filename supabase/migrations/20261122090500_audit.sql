-- What must never be true. Each rule answers the rows that break it; a healthy database answers none.

create function public.switchyard_audit() returns jsonb
language sql stable security definer
set search_path = ''
as $$
  with
  stale as (
    select 'run without a live lease or past its queue deadline' as rule, id::text as subject
    from switchyard.runs
    where (status = 'running' and lease_until < clock_timestamp() - interval '60 seconds')
      or (status = 'queued' and queue_deadline_at < clock_timestamp() - interval '60 seconds')
  ),
  terminal as (
    select 'ended run without exactly one terminal event, last', r.id::text
    from switchyard.runs r
    where switchyard.is_terminal(r.status)
      and (
        select coalesce(array_agg(e.seq), '{}') from switchyard.events e
        where e.run_id = r.id and e.type in ('done', 'failed', 'cancelled')
      ) <> array[r.last_seq]
  ),
  open_terminal as (
    select 'terminal event in a run that has not ended', r.id::text
    from switchyard.runs r
    join switchyard.events e on e.run_id = r.id and e.type in ('done', 'failed', 'cancelled')
    where not switchyard.is_terminal(r.status)
  ),
  gaps as (
    select 'gap in the numbering of events', r.id::text
    from switchyard.runs r
    left join switchyard.events e on e.run_id = r.id
    group by r.id, r.last_seq
    having count(e.seq) <> r.last_seq or min(e.seq) <> 1 or max(e.seq) <> r.last_seq
  ),
  doubles as (
    select 'ledger key used twice', l.user_id || ' ' || l.key
    from switchyard.ledger l
    where l.key is not null
    group by l.user_id, l.key
    having count(*) > 1
  ),
  double_closings as (
    select 'hold closed twice', l.user_id || ' ' || l.hold_key
    from switchyard.ledger l
    where l.hold_key is not null
    group by l.user_id, l.hold_key
    having count(*) > 1
  ),
  sums as (
    select 'balance or held is not the sum of the ledger', b.user_id::text
    from public.credit_balances b
    left join switchyard.ledger l on l.user_id = b.user_id
    group by b.user_id, b.credits_remaining, b.held
    having b.credits_remaining <> coalesce(sum(l.amount), 0) or b.held <> coalesce(sum(l.held), 0)
  ),
  negative as (
    select distinct 'own write below zero or beyond what was available', n.user_id::text
    from (
      select l.user_id, l.kind, l.amount,
        sum(l.amount) over w as balance,
        sum(l.held) over w as held
      from switchyard.ledger l
      window w as (partition by l.user_id order by l.id)
    ) n
    where (n.kind in ('settle', 'charge') and n.balance < 0)
      or (n.kind = 'hold' and n.held > n.balance)
      or n.held < 0
  ),
  open_holds as (
    select 'open hold of an ended run', l.key
    from switchyard.ledger l
    join switchyard.runs r on r.id = l.run_id and switchyard.is_terminal(r.status)
    where l.kind = 'hold'
      and not exists (
        select 1 from switchyard.ledger c where c.user_id = l.user_id and c.hold_key = l.key
      )
  ),
  charges as (
    select 'charge of a run differs from its ledger', r.id::text
    from switchyard.runs r
    where switchyard.is_terminal(r.status)
      and r.charged_credits <> coalesce((
        select -sum(l.amount) from switchyard.ledger l where l.run_id = r.id
      ), 0)
  )
  select coalesce(jsonb_agg(jsonb_build_object('rule', v.rule, 'subject', v.subject)), '[]')
  from (
    select * from stale
    union all select * from terminal
    union all select * from open_terminal
    union all select * from gaps
    union all select * from doubles
    union all select * from double_closings
    union all select * from sums
    union all select * from negative
    union all select * from open_holds
    union all select * from charges
  ) v
$$;

comment on function public.switchyard_audit is 'Every broken invariant as {rule, subject}; empty when all is well.';

revoke all on function public.switchyard_audit() from public, anon, authenticated;
grant execute on function public.switchyard_audit() to service_role;
