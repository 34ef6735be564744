"""What our migrations take for granted, for a database that is not Supabase's.

`roles.sql` makes the roles, the schema `auth` and the functions that a Supabase project has from the
start. It lives here and not among the migrations because a real project must never get it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["ensure_roles"]

ROLES_SQL = Path(__file__).with_name("roles.sql")

# The comment in `roles.sql` that marks the schema as our stub.
STUB_MARK = "Switchyard: a stand-in for Supabase's schema auth"

_IS_SOMEBODY_ELSES = """
select exists (
  select
  from pg_catalog.pg_namespace
  where nspname = 'auth'
    and obj_description(oid, 'pg_namespace') is distinct from $1
)
"""


async def ensure_roles(connection: Connection[Record]) -> None:
    """Make the stand-in, unless a schema `auth` that is not ours is there; safe to repeat."""
    if not await connection.fetchval(_IS_SOMEBODY_ELSES, STUB_MARK):
        await connection.execute(ROLES_SQL.read_text(encoding="utf-8"))
