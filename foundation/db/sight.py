"""What a database is, as far as one connection sees without changing anything.

For whoever wants to know why a server would not run on it: who we are there, what was applied, how far its
clock is from ours. One attempt, no waiting; the reasons are few, and hold nothing of the connection string.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.db.pending import in_folder, pending

if TYPE_CHECKING:
    from asyncpg import Connection, Record

__all__ = ["Sight", "Trouble", "Unseen", "look", "missing"]

_FACTS = """
select
  current_setting('server_version') as version,
  current_user::text as role,
  pg_is_in_recovery() as is_standby,
  to_regclass('supabase_migrations.schema_migrations') is not null as has_record
"""
_DOORS_KNOWN = """
select exists (
  select from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'switchyard' and p.proname = 'open_doors'
    and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
)
"""
_DOORS = "select door from switchyard.open_doors() door"
_CLOCK = "select extract(epoch from clock_timestamp())::float8"
# Older records have no names.
_APPLIED = """
select version, coalesce(to_jsonb(m) ->> 'name', '') as name
from supabase_migrations.schema_migrations m
"""


class Trouble(Enum):
    """Why a database could not be looked at."""

    BAD_URL = auto()
    UNKNOWN_HOST = auto()
    NOBODY_THERE = auto()
    TOO_SLOW = auto()
    BAD_TLS = auto()
    BAD_LOGIN = auto()
    NO_DATABASE = auto()
    NOT_ALLOWED = auto()
    OTHER = auto()


class Unseen(Exception):
    """`state` is the SQLSTATE, where the server gave one."""

    def __init__(self, trouble: Trouble, *, state: str = "") -> None:
        super().__init__(trouble.name)
        self.trouble = trouble
        self.state = state


@dataclass(frozen=True, slots=True)
class Sight:
    """
    Attributes:
        latency_ms: of one statement, there and back.
        offset_s: how far this machine's clock is before the database's; as exact as half the latency.
        applied: version → name of the migrations in the record, the app's own among them.
        doors: how users may get past the guards of the app's tables, a sentence each.
    """

    version: str
    role: str
    is_standby: bool
    latency_ms: float
    offset_s: float
    applied: Mapping[str, str]
    doors: Sequence[str] = ()


async def look(url: str, *, within_s: float) -> Sight:
    """Connect, look, leave.

    Raises:
        Unseen: it cannot be looked at.
    """
    # Here, so that importing this package stays cheap.
    from asyncpg import connect

    try:
        async with asyncio.timeout(within_s):
            connection = await connect(
                url, statement_cache_size=0, server_settings={"application_name": "switchyard doctor"}
            )
            try:
                return await _sight(connection)
            finally:
                connection.terminate()
    except Exception as error:
        raise _unseen(error) from error


def missing(folder: Path, applied: Mapping[str, str]) -> list[str]:
    """The names of the files of `folder` that a database with this record still needs, in order.

    Raises:
        MigrationError: they cannot be applied to it.
    """
    return [each.file.name for each in pending(in_folder(folder), applied)]


async def _sight(connection: Connection[Record]) -> Sight:
    facts = await connection.fetchrow(_FACTS)
    assert facts is not None  # noqa: S101 - a select without a table has one row
    began_s, began_at_s = time.monotonic(), time.time()
    there_s: float = await connection.fetchval(_CLOCK)
    took_s = time.monotonic() - began_s
    rows = await connection.fetch(_APPLIED) if facts["has_record"] else []
    doors = await connection.fetch(_DOORS) if await connection.fetchval(_DOORS_KNOWN) else []
    return Sight(
        version=facts["version"],
        role=facts["role"],
        is_standby=facts["is_standby"],
        latency_ms=took_s * 1000,
        offset_s=began_at_s + took_s / 2 - there_s,
        applied={row["version"]: row["name"] for row in rows},
        doors=[row["door"] for row in doors],
    )


def _unseen(error: Exception) -> Unseen:
    from asyncpg import PostgresError

    match error:
        case TimeoutError():
            return Unseen(Trouble.TOO_SLOW)
        case PostgresError(sqlstate=state):
            return Unseen(_of_state(state or ""), state=state or "")
        case socket.gaierror():
            return Unseen(Trouble.UNKNOWN_HOST)
        case ssl.SSLError():
            return Unseen(Trouble.BAD_TLS)
        case OSError():
            return Unseen(Trouble.NOBODY_THERE)
        case ValueError():
            return Unseen(Trouble.BAD_URL)
        case _:
            return Unseen(Trouble.OTHER)


def _of_state(state: str) -> Trouble:
    match state:
        case "28P01" | "28000":
            return Trouble.BAD_LOGIN
        case "3D000":
            return Trouble.NO_DATABASE
        case "42501":
            return Trouble.NOT_ALLOWED
        case _:
            return Trouble.OTHER
