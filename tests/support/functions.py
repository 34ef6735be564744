"""Functions that answer whatever a test of the way to a database wants to hear, in their own database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from foundation.db.roles import ensure_roles
from tests.support.database import DatabaseServer, drop

__all__ = ["answering"]

FUNCTIONS = """
create function switchyard_echo(p_value jsonb) returns jsonb language sql as 'select p_value';
create function switchyard_types(
  p_user_id uuid, p_count int, p_name text, p_at timestamptz, p_tags text[], p_share numeric, p_on boolean
)
returns jsonb
language sql
as $$
  select jsonb_build_object(
    'user', p_user_id, 'count', p_count, 'name', p_name, 'at', p_at,
    'tags', p_tags, 'share', p_share, 'on', p_on
  )
$$;
create function switchyard_add(p_a int, p_b int default 10) returns int language sql as 'select p_a + p_b';
create function switchyard_nothing() returns void language sql as '';
create function switchyard_now()
returns timestamptz
language sql
as $$ select '2026-11-22 10:00+00'::timestamptz $$;
create function switchyard_refuse(p_state text, p_code text, p_facts text)
returns jsonb
language plpgsql
as $$
begin
  raise exception using errcode = p_state, message = p_code, detail = p_facts;
end
$$;
create function switchyard_sleep(p_seconds numeric) returns void language sql as 'select pg_sleep(p_seconds)';
create function switchyard_backend() returns int language sql as 'select pg_backend_pid()';
create function switchyard_die()
returns void
language sql
security definer
as 'select pg_terminate_backend(pg_backend_pid())';
create function switchyard_name()
returns text
language sql
as $$ select current_setting('application_name') $$;
create function deduct_credits(p_user_id uuid)
returns jsonb
language sql
as $$ select '{"ok": true}'::jsonb $$;
"""


@asynccontextmanager
async def answering(server: DatabaseServer) -> AsyncIterator[str]:
    """Its URL."""
    url = await server.create_empty()
    connection = await asyncpg.connect(url)
    await ensure_roles(connection)
    await connection.execute(FUNCTIONS)
    await connection.close()
    yield url
    await drop(server, url)
