-- What adoption has closed, an app may open again: the audit names it.

create function switchyard.open_doors() returns table (rule text, subject text)
language sql stable
set search_path = ''
as $$
  with recursive
  -- A view writes as its owner, unless it is told to do so as whoever asks; and so does one that is made of it.
  built (view_id, on_id, is_as_owner) as (
    select r.ev_class, d.refobjid, not exists (
      select from pg_options_to_table(v.reloptions) o
      where case when o.option_name = 'security_invoker' then o.option_value::boolean end
    )
    from pg_depend d
    join pg_rewrite r on r.oid = d.objid
    join pg_class v on v.oid = r.ev_class and v.relkind = 'v' and v.oid <> d.refobjid
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
  ),
  views (view_id, table_id, is_as_owner) as (
    select b.view_id, b.on_id, b.is_as_owner
    from built b
    where b.on_id in ('public.credit_balances'::regclass, 'public.credit_usage'::regclass)
    union
    select b.view_id, v.table_id, b.is_as_owner or v.is_as_owner
    from views v
    join built b on b.on_id = v.view_id
  ),
  writable (id, through) as (
    select distinct table_id, table_id
    from (values ('public.credit_balances'::regclass), ('public.credit_usage'::regclass)) t (table_id)
    union
    select table_id, view_id
    from views
    where is_as_owner and pg_relation_is_updatable(view_id, false) <> 0
  )
  select 'users may write what only functions write', format('%s through %s as %s', id::regclass, through::regclass, role)
  from writable, unnest(array['anon', 'authenticated']) role
  where has_any_column_privilege(role, through, 'insert, update') or has_table_privilege(role, through, 'delete, truncate')
  union all
  select 'a table without row level security', c.oid::regclass::text
  from pg_class c
  where c.relnamespace = 'public'::regnamespace
    and c.relname in (
      'agents', 'agent_functions', 'api_keys', 'conversations', 'credit_balances', 'credit_usage', 'messages', 'user_roles'
    )
    and not c.relrowsecurity
$$;

comment on function switchyard.open_doors is
  'How users get past the guards of money and of each other''s rows: as {rule, subject} of the audit.';

alter function public.switchyard_audit() set schema switchyard;
alter function switchyard.switchyard_audit() rename to audit_calls;
alter function switchyard.audit_calls() security invoker;
revoke all on function switchyard.audit_calls() from service_role;

create function public.switchyard_audit() returns jsonb
language sql stable security definer
set search_path = ''
as $$
  select switchyard.audit_calls() || coalesce((
    select jsonb_agg(jsonb_build_object('rule', d.rule, 'subject', d.subject)) from switchyard.open_doors() d
  ), '[]')
$$;

comment on function switchyard.audit_calls is
  'The rules about runs, events, money, calls and holds of requests; switchyard_audit adds those about doors.';
comment on function public.switchyard_audit is 'Every broken invariant as {rule, subject}; empty when all is well.';

revoke all on function switchyard.open_doors() from public, anon, authenticated;
revoke all on function public.switchyard_audit() from public, anon, authenticated;
grant execute on function public.switchyard_audit() to service_role;
