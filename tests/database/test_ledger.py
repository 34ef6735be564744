"""The ledger itself: appended to, each row sensible, each effect once."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.sql import Sql

# kind, amount, held, key, hold_key
Row = tuple[str, int, int, str | None, str | None]


@pytest.mark.parametrize(
    "statement",
    [
        "update switchyard.ledger set amount = 0",
        "delete from switchyard.ledger",
        "truncate switchyard.ledger",
    ],
)
async def test_the_ledger_is_only_appended_to(sql: Sql, statement: str) -> None:
    await sql.user()

    with pytest.raises(asyncpg.RaiseError, match="only appended"):
        await sql.connection.execute(statement)


@pytest.mark.parametrize(
    "row",
    [
        ("hold", 0, 1, None, None),
        ("hold", -1, 1, "k", None),
        ("hold", 0, 0, "k", None),
        ("settle", -1, -1, "k", None),
        ("settle", 0, -1, "k", "h"),
        ("release", -1, -1, "k", "h"),
        ("charge", 1, 0, "k", None),
        ("charge", -1, 0, None, None),
        ("charge", -1, 0, "k", "h"),
        ("gift", 1, 0, "k", None),
    ],
)
async def test_the_ledger_refuses_a_row_that_makes_no_sense(sql: Sql, row: Row) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await _write(sql, uuid4(), row)


async def test_an_economic_effect_has_one_row_and_a_hold_one_end(sql: Sql) -> None:
    user = uuid4()
    await _write(sql, user, ("opening", 1, 0, None, None))
    await _write(sql, user, ("settle", -1, 0, "k", "h"))

    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_key_once"):
        await _write(sql, user, ("charge", -1, 0, "k", None))
    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_hold_closed_once"):
        await _write(sql, user, ("release", 0, 0, "other", "h"))


async def _write(sql: Sql, user: UUID, row: Row) -> None:
    await sql.connection.execute(
        "insert into switchyard.ledger (user_id, kind, amount, held, key, hold_key)"
        " values ($1, $2, $3, $4, $5, $6)",
        user,
        *row,
    )
