-- What adoption has closed, an app may open again: this tells `doctor`.

create function switchyard.open_doors() returns setof text
language sql stable
set search_path = ''
as $$
  with recursive
  -- A row that is written to an heir or a partition is one of the table's.
  tables (id, name) as (
    select c.oid, c.relname::text
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname in ('credit_balances', 'credit_usage')
    union
    select i.inhrelid, t.name
    from tables t
    join pg_inherits i on i.inhparent = t.id
  ),
  -- A view writes as its owner, unless it is told to do so as whoever asks, who then needs the grants below it.
  built (view_id, on_id) as (
    select r.ev_class, d.refobjid
    from pg_depend d
    join pg_rewrite r on r.oid = d.objid
    join pg_class v on v.oid = r.ev_class and v.relkind = 'v' and v.oid <> d.refobjid
    where d.classid = 'pg_rewrite'::regclass
      and d.refclassid = 'pg_class'::regclass
      and not exists (
        select from pg_options_to_table(v.reloptions) o
        where case when o.option_name = 'security_invoker' then o.option_value::boolean end
      )
  ),
  views (id, name) as (
    select b.view_id, t.name
    from built b
    join tables t on t.id = b.on_id
    union
    select b.view_id, v.name
    from views v
    join built b on b.on_id = v.id
  )
  select format('%s is granted writing of %s', role, id::regclass)
  from tables, unnest(array['anon', 'authenticated']) role
  where has_any_column_privilege(role, id, 'insert, update') or has_table_privilege(role, id, 'delete, truncate')
  union all
  -- Which of its tables a view writes, and which it only reads, its owner knows.
  select distinct format('%s is granted writing of %s, a view that sees %s as its owner does', role, id::regclass, name)
  from views, unnest(array['anon', 'authenticated']) role
  where pg_relation_is_updatable(id, true) <> 0
    and (has_any_column_privilege(role, id, 'insert, update') or has_table_privilege(role, id, 'delete'))
  union all
  select format('%s has no row level security', c.oid::regclass)
  from pg_class c
  where c.relnamespace = 'public'::regnamespace
    and c.relname in (
      'agents', 'agent_functions', 'api_keys', 'conversations', 'credit_balances', 'credit_usage', 'messages', 'user_roles'
    )
    and not c.relrowsecurity
  order by 1
$$;

comment on function switchyard.open_doors is
  'By which grants, views and tables users may get past the guards of money and of each other''s rows, a sentence each.';

revoke all on function switchyard.open_doors() from public, anon, authenticated;
