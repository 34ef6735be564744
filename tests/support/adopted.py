"""An app that was there before us: `adopted.sql` in its own database, and what can be said of its schema."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from tests.support.database import DatabaseServer, drop
from tests.support.process import ROOT
from tests.support.supabase_cli import bare_project
from tests.support.tables import Connection, connected

__all__ = [
    "ADA",
    "ANALYST",
    "BOB",
    "LIBRARIAN",
    "OLD_CONVERSATION",
    "app_before_us",
    "facts",
    "guide_sql",
    "rows",
]

ADA: Final = UUID("00000000-0000-4000-8000-00000000000a")
BOB: Final = UUID("00000000-0000-4000-8000-00000000000b")
LIBRARIAN: Final = UUID("00000000-0000-4000-8000-0000000000a1")
ANALYST: Final = UUID("00000000-0000-4000-8000-0000000000a2")
OLD_CONVERSATION: Final = UUID("00000000-0000-4000-8000-0000000000c1")

GUIDE: Final = ROOT / "docs" / "supabase.md"
SCHEMA: Final = Path(__file__).with_suffix(".sql")

# Each as one line of text, so that two states of a schema are two sets.
FACTS: Final = """
with t as (
  select oid, relname::text as name, relacl, relowner, relkind, relrowsecurity, reloptions
  from pg_class
  where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
)
select format('column %s.%s %s%s default %s', name, attname, format_type(atttypid, atttypmod),
    case when attnotnull then ' not null' else '' end, coalesce(pg_get_expr(adbin, adrelid), 'none'))
  from t join pg_attribute on attrelid = t.oid and attnum > 0 and not attisdropped
  left join pg_attrdef on adrelid = attrelid and adnum = attnum
union all
select format('table %s, row level security %s, %s', name, relrowsecurity, reloptions) from t
union all
select format('comment on %s: %s', name, description) from t join pg_description on objoid = t.oid
  where objsubid = 0 and classoid = 'pg_class'::regclass
union all
select format('constraint %s of %s: %s', conname, name, pg_get_constraintdef(c.oid))
  from t join pg_constraint c on conrelid = t.oid where contype <> 'n'
union all
select format('index of %s: %s', name, pg_get_indexdef(indexrelid)) from t join pg_index on indrelid = t.oid
union all
select format('trigger of %s: %s', c.relname, pg_get_triggerdef(g.oid))
  from pg_trigger g join pg_class c on c.oid = tgrelid
  where relnamespace in ('public'::regnamespace, 'auth'::regnamespace) and not tgisinternal
union all
select format('policy %s on %s for %s to %s: %s / %s', policyname, tablename, cmd, roles, qual, with_check)
  from pg_policies where schemaname = 'public'
union all
select format('%s may %s %s', case grantee when 0 then 'public' else grantee::regrole::text end,
    lower(privilege_type), name)
  from t, aclexplode(coalesce(relacl, acldefault('r', relowner)))
union all
select format('view %s: %s', name, pg_get_viewdef(oid)) from t where relkind = 'v'
union all
select format('function %s: %s %s', p.oid::regprocedure, proacl, pg_get_functiondef(p.oid))
  from pg_proc p where pronamespace = 'public'::regnamespace
"""


@asynccontextmanager
async def app_before_us(server: DatabaseServer) -> AsyncIterator[tuple[str, Connection]]:
    """The URL of the app's database, and a connection to it."""
    url = await bare_project(server)
    try:
        async with connected(url) as connection:
            await connection.execute(SCHEMA.read_text(encoding="utf-8"))
            yield url, connection
    finally:
        await drop(server, url)


async def facts(connection: Connection) -> set[str]:
    """What the app's schema is, and who may do what in it."""
    return {row[0] for row in await connection.fetch(FACTS)}


async def rows(connection: Connection) -> dict[str, list[object]]:
    """All rows of the app's tables, as JSON; columns in the order of their names."""
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
    return {
        row["tablename"]: [
            each[0]
            for each in await connection.fetch(
                f"select to_jsonb(t) from public.{row['tablename']} t order by id"  # noqa: S608
            )
        ]
        for row in tables
    }


def guide_sql(name: str) -> str:
    """The SQL that the guide marks with this name."""
    guide = GUIDE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- sql: {name} -->\n```sql\n(.*?)```\n", guide, re.DOTALL)
    assert found is not None, f"{GUIDE.name} has no block {name}"
    return found[1]
