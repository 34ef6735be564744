"""What the database holds, as one number a table: any row that comes, goes or changes gives another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.support.tables import Connection

__all__ = ["State", "changes"]

# That a server is alive, and who asked how often, is no state of anybody's things.
PULSE: Final = frozenset({"switchyard.workers"})

TABLES: Final = """
select format('%I.%I', schemaname, tablename) as name from pg_tables
where schemaname in ('auth', 'public', 'switchyard') order by 1
"""


class State:
    """A row's place and the transaction that wrote it change with every write, so their hashes tell all."""

    def __init__(self, sql: Connection, tables: list[str]) -> None:
        self._sql = sql
        self._query = " union all ".join(
            f"select '{table}' as name,"  # noqa: S608 - names of our own
            " count(*) || ':' || coalesce(sum(hashtextextended(ctid::text || xmin::text, 0)), 0) as digest"
            f" from {table}"
            for table in tables
        )

    @classmethod
    async def of(cls, sql: Connection) -> State:
        names = [row["name"] for row in await sql.fetch(TABLES)]
        return cls(sql, [name for name in names if name not in PULSE])

    async def read(self) -> dict[str, str]:
        return {row["name"]: row["digest"] for row in await self._sql.fetch(self._query)}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The tables that differ."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
