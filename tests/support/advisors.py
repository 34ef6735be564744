"""What Supabase's advisors look for in a database, as queries of our own, each with SQL that breaks it.

Named as theirs. Ours hold for schema `switchyard` as for `public`, and say no where theirs only suggest; the
last two are on their list too, but not in what their CLI carries.

Source: the database linter `splinter`, as the Supabase CLI 3.1 brings it.
"""

# ruff: noqa: S608 - all of it is put together from what is written here
from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Attributes:
        finds: a query for the objects that break it, by name.
        violation: what makes `subject` break it.
    """

    name: str
    finds: str
    violation: str
    subject: str
    is_in_cli: bool = True

    def __str__(self) -> str:
        return self.name


_TABLES = """
select c.oid, c.oid::regclass::text as name, c.relrowsecurity
from pg_class c
where c.relnamespace in ('public'::regnamespace, 'switchyard'::regnamespace) and c.relkind in ('r', 'p')
"""
_POLICIES = """
select format('%s of %s', p.polname, t.name) as name, t.name as table_name, t.relrowsecurity,
  p.polcmd, p.polroles, p.polpermissive,
  coalesce(pg_get_expr(p.polqual, p.polrelid), '') as uses,
  coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') as checks
from pg_policy p
join t on t.oid = p.polrelid
"""
_HEAD = f"with t as ({_TABLES}), p as ({_POLICIES})"
_FUNCTIONS = """
from pg_proc p
where p.pronamespace in ('public'::regnamespace, 'switchyard'::regnamespace)
"""
_MAY_SELECT = (
    "(has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select'))"
)
_MAY_EXECUTE = """(
  has_function_privilege('anon', p.oid, 'execute')
  or has_function_privilege('authenticated', p.oid, 'execute')
)"""


def _table(name: str, columns: str = "id int primary key", *, rls: bool = True) -> str:
    made = f"create table public.{name} ({columns}); grant select on public.{name} to authenticated;"
    return made + (f"alter table public.{name} enable row level security;" if rls else "")


RULES: Final = (
    Rule(
        "rls_disabled_in_public",
        f"{_HEAD} select name from t where not relrowsecurity",
        _table("planted_open", rls=False),
        "planted_open",
    ),
    Rule(
        "policy_exists_rls_disabled",
        f"{_HEAD} select distinct table_name from p where not relrowsecurity",
        _table("planted_idle", rls=False) + "create policy planted on public.planted_idle using (id = 1);",
        "planted_idle",
    ),
    Rule(
        "rls_policy_always_true",
        f"{_HEAD} select name from p where polcmd <> 'r' and (uses = 'true' or checks = 'true')",
        _table("planted_wide")
        + "create policy planted on public.planted_wide for update using (true) with check (true);",
        "planted of planted_wide",
    ),
    Rule(
        "rls_references_user_metadata",
        f"{_HEAD} select name from p where uses || checks ~ 'user_metadata'",
        _table("planted_claims") + "create policy planted on public.planted_claims for select"
        " using ((select auth.jwt() -> 'user_metadata' ->> 'admin') = 'yes');",
        "planted of planted_claims",
    ),
    Rule(
        "auth_rls_initplan",
        rf"""
        {_HEAD} select name from p
        where regexp_replace(uses || ' ' || checks, 'select\s+(auth\.\w+|current_setting)\(', '', 'gi')
          ~ '(auth\.\w+|current_setting)\('
        """,
        _table("planted_slow", "id uuid primary key")
        + "create policy planted on public.planted_slow for select using (id = auth.uid());",
        "planted of planted_slow",
    ),
    Rule(
        "multiple_permissive_policies",
        f"""
        {_HEAD} select table_name from p, unnest(array['r', 'a', 'w', 'd']) verb, unnest(polroles) role
        where polpermissive and polcmd in (verb::"char", '*')
        group by table_name, verb, role
        having count(*) > 1
        """,
        _table("planted_twice")
        + "create policy one on public.planted_twice for select to authenticated using (id = 1);"
        "create policy two on public.planted_twice for select to authenticated using (id = 2);",
        "planted_twice",
    ),
    Rule(
        "unindexed_foreign_keys",
        f"""
        {_HEAD} select k.conname from t
        join pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
        where not exists (
          select from pg_index i
          where i.indrelid = k.conrelid
            and i.indisvalid
            and i.indpred is null
            and (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] = k.conkey
        )
        """,
        _table("planted_child", "id int primary key, agent_id uuid references public.agents (id)"),
        "planted_child_agent_id_fkey",
    ),
    Rule(
        "fkey_to_auth_unique",
        f"""
        {_HEAD} select k.conname from t
        join pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
        join pg_class c on c.oid = k.confrelid and c.relnamespace = 'auth'::regnamespace
        join pg_index i on i.indexrelid = k.conindid and not i.indisprimary
        """,
        "alter table auth.users add unique (email);"
        + _table("planted_mail", "email text primary key references auth.users (email)"),
        "planted_mail_email_fkey",
    ),
    Rule(
        "no_primary_key",
        f"""
        {_HEAD} select name from t
        where not exists (select from pg_index i where i.indrelid = t.oid and i.indisprimary)
        """,
        _table("planted_heap", "id int"),
        "planted_heap",
    ),
    Rule(
        "duplicate_index",
        f"""
        {_HEAD} select name from t join pg_index i on i.indrelid = t.oid
        group by name, replace(pg_get_indexdef(i.indexrelid), i.indexrelid::regclass::text, '')
        having count(*) > 1
        """,
        _table("planted_double", "id int primary key, n int")
        + "create index planted_a on public.planted_double (n);"
        "create index planted_b on public.planted_double (n);",
        "planted_double",
    ),
    Rule(
        "security_definer_view",
        f"""
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'v' and {_MAY_SELECT}
          and not coalesce(c.reloptions, '{{}}') && array['security_invoker=true', 'security_invoker=on']
        """,
        "create view public.planted_view as select id from public.agents;"
        "grant select on public.planted_view to authenticated;",
        "planted_view",
    ),
    Rule(
        "materialized_view_in_api",
        f"""
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'm' and {_MAY_SELECT}
        """,
        "create materialized view public.planted_copy as select id from public.agents;"
        "grant select on public.planted_copy to authenticated;",
        "planted_copy",
    ),
    Rule(
        "function_search_path_mutable",
        f"""
        select p.proname {_FUNCTIONS}
          and not exists (select from unnest(p.proconfig) each where each like 'search_path=%')
        """,
        "create function public.planted_lost() returns int language sql return 1;"
        "revoke all on function public.planted_lost() from public;",
        "planted_lost",
    ),
    Rule(
        "security_definer_function_executable",
        f"select p.proname {_FUNCTIONS} and p.prosecdef and {_MAY_EXECUTE}",
        "create function public.planted_power() returns int language sql"
        " security definer set search_path = '' return 1;",
        "planted_power",
        is_in_cli=False,
    ),
    Rule(
        "function_executable_by_users",
        f"select p.proname {_FUNCTIONS} and not p.prosecdef and {_MAY_EXECUTE}",
        "create function public.planted_tool() returns int language sql set search_path = '' return 1;",
        "planted_tool",
        is_in_cli=False,
    ),
)
