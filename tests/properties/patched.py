"""The schema without one of its guards, to see that something breaks."""

from __future__ import annotations

from tests.support.tables import Connection

__all__ = ["patched"]


async def patched(connection: Connection, function: str, code: str, without: str) -> None:
    """Replace a part of a function by its source in the catalog."""
    source: str = await connection.fetchval("select pg_get_functiondef($1::text::regproc)", function)
    assert code in source
    await connection.execute(source.replace(code, without))
