"""Ways past the guards of an adopted app's tables: views, sleeping policies, names with two meanings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import asyncpg
import orjson
import pytest

from foundation.db import MigrationError, migrate
from tests.support.adopted import ADA, BOB, LIBRARIAN, app_before_us, guide_sql
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.tables import Connection

OWN_POLICIES: Final = (MIGRATIONS / "20261127141000_own_policies.sql").read_text(encoding="utf-8")
# As policies once understood them, where the other table has a column of that name, too.
CAPTURED: Final = """
alter policy switchyard_own_messages on public.messages using (exists (
  select 1 from public.conversations c
  where c.id = c.conversation_id and c.user_id = (select auth.uid())
));
alter policy switchyard_own_functions on public.agent_functions using (exists (
  select 1 from public.agents a
  where a.id = a.agent_id and a.user_id = (select auth.uid())
));
"""
# Both tables get our policies, and Bob has a row that would open all of them.
SAME_NAMES: Final = f"""
alter table public.agent_functions disable row level security;
drop policy "Owners manage functions" on public.agent_functions;
alter table public.conversations add conversation_id uuid;
alter table public.agents add agent_id uuid;
insert into public.conversations (user_id) values ('{BOB}');
insert into public.agents (user_id, name) values ('{BOB}', 'Key');
update public.conversations set conversation_id = id;
update public.agents set agent_id = id;
"""  # noqa: S608 - written above
MY_BALANCE: Final = (
    "create view public.my_balance as"
    " select user_id, credits_remaining from public.credit_balances where user_id = auth.uid();"
)
A_VIEW: Final = "authenticated is granted writing of {}, a view that sees credit_balances as its owner does"
# After the adoption: what opens a door, what closes it, and what is said meanwhile.
OPENED: Final[dict[str, tuple[str, str, list[str]]]] = {
    "a view": (
        MY_BALANCE + "grant all on public.my_balance to authenticated",
        "alter view public.my_balance set (security_invoker = on)",
        [A_VIEW.format("public.my_balance")],
    ),
    "a view of a view": (
        MY_BALANCE + "create view public.mine as table public.my_balance;"
        "grant update (credits_remaining) on public.mine to authenticated",
        "revoke all on public.mine from authenticated",
        [A_VIEW.format("public.mine")],
    ),
    "a view with a trigger of its own": (
        "create view public.total as select sum(credits_remaining) from public.credit_balances;"
        "create function public.pays() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger pays instead of insert on public.total for each row execute function public.pays();"
        "grant insert on public.total to authenticated",
        "revoke all on public.total from authenticated",
        [A_VIEW.format("public.total")],
    ),
    "grants": (
        "grant insert (user_id) on public.credit_usage to authenticated;"
        "grant truncate on public.credit_balances to anon",
        "revoke all on public.credit_usage, public.credit_balances from anon, authenticated",
        [
            "anon is granted writing of public.credit_balances",
            "authenticated is granted writing of public.credit_usage",
        ],
    ),
    "an heir": (
        "create table public.old_usage () inherits (public.credit_usage);"
        "grant insert on public.old_usage to authenticated",
        "revoke all on public.old_usage from anon, authenticated",
        ["authenticated is granted writing of public.old_usage"],
    ),
    "tables without row level security": (
        "alter table public.messages disable row level security;"
        "alter table public.credit_balances disable row level security",
        "alter table public.messages enable row level security;"
        "alter table public.credit_balances enable row level security",
        ["public.credit_balances has no row level security", "public.messages has no row level security"],
    ),
}
# What users cannot write through, as Postgres itself says.
SHUT: Final = {
    "a view to read": (
        MY_BALANCE + "grant select on public.my_balance to authenticated",
        "update public.my_balance set credits_remaining = 9",
    ),
    "a view of a view as whoever asks": (
        MY_BALANCE + "create view public.mine with (security_invoker = on) as table public.my_balance;"
        "grant all on public.mine to authenticated",
        "update public.mine set credits_remaining = 9",
    ),
    "a view of a view that sees as whoever asks": (
        MY_BALANCE + "alter view public.my_balance set (security_invoker = on);"
        "create view public.mine as table public.my_balance; grant all on public.mine to authenticated",
        "update public.mine set credits_remaining = 9",
    ),
}
READ: Final = "select (select count(*) from public.messages), (select count(*) from public.agent_functions)"


@pytest.fixture
async def app(database_server: DatabaseServer) -> AsyncIterator[tuple[str, Connection]]:
    """Ready to be adopted."""
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        yield url, connection


async def test_no_user_writes_a_balance_through_a_view(app: tuple[str, Connection]) -> None:
    url, connection = app
    await connection.execute(
        "create view public.my_balance as select user_id, credits_remaining from public.credit_balances;"
        "grant all on public.my_balance to anon, authenticated"
    )
    with pytest.raises(MigrationError, match="users may write credit_balances through my_balance"):
        await migrate(url, folder=MIGRATIONS)

    await connection.execute("alter view public.my_balance set (security_invoker = true)")
    await migrate(url, folder=MIGRATIONS)

    async with _signed_in(connection, BOB):
        seen = await connection.fetch("select user_id from public.my_balance")
        assert [row["user_id"] for row in seen] == [BOB]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("update public.my_balance set credits_remaining = 999999")


async def test_a_view_that_users_only_read_is_no_obstacle(app: tuple[str, Connection]) -> None:
    url, connection = app
    await connection.execute(
        "create view public.plans as select plan_type from public.credit_balances;"
        "grant select on public.plans to anon, authenticated"
    )

    await migrate(url, folder=MIGRATIONS)


async def test_policies_that_sleep_are_not_woken(app: tuple[str, Connection]) -> None:
    url, connection = app
    await connection.execute('create policy "Everybody" on public.messages using (true)')

    with pytest.raises(MigrationError, match="messages has policies that are asleep"):
        await migrate(url, folder=MIGRATIONS)

    assert await connection.fetchval("select to_regnamespace('switchyard')") is None


async def test_the_guide_finds_functions_of_both_kinds(app: tuple[str, Connection]) -> None:
    _, connection = app
    await connection.execute(
        "create function public.give(p_user_id uuid) returns void language sql security definer begin atomic"
        " update public.credit_balances set credits_remaining = 1000 where user_id = p_user_id; end;"
        "create aggregate public.total(integer) (sfunc = int4pl, stype = integer)"
    )

    assert [row[0] for row in await connection.fetch(guide_sql("open"))] == ["give(uuid)"]


async def test_our_policies_mean_the_columns_of_their_own_table(app: tuple[str, Connection]) -> None:
    url, connection = app
    await connection.execute(SAME_NAMES)

    await migrate(url, folder=MIGRATIONS)

    assert await _read_as(connection, BOB) == (0, 0)
    assert await _read_as(connection, ADA) == (2, 2)


async def test_policies_that_mean_another_table_are_mended(app: tuple[str, Connection]) -> None:
    url, connection = app
    await connection.execute(SAME_NAMES)
    await migrate(url, folder=MIGRATIONS)
    await connection.execute(CAPTURED)
    assert await _read_as(connection, BOB) == (2, 2)

    await connection.execute(OWN_POLICIES)

    assert await _read_as(connection, BOB) == (0, 0)
    assert await _read_as(connection, ADA) == (2, 2)


async def test_an_agent_without_a_price_is_edited_and_priced_by_nobody_but_the_operator(
    app: tuple[str, Connection],
) -> None:
    url, connection = app
    await connection.execute("alter table public.agents add price jsonb")
    await migrate(url, folder=MIGRATIONS)

    async with _signed_in(connection, ADA):
        await connection.execute("update public.agents set name = 'New' where id = $1", LIBRARIAN)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="set by the operator"):
            await connection.execute(
                "update public.agents set price = $2 where id = $1", LIBRARIAN, {"flat": 0}
            )


@pytest.mark.parametrize(("opens", "closes", "told"), OPENED.values(), ids=OPENED)
async def test_what_is_opened_afterwards_is_told(
    app: tuple[str, Connection], opens: str, closes: str, told: list[str]
) -> None:
    url, connection = app
    await migrate(url, folder=MIGRATIONS)
    assert await _doors(connection) == []

    await connection.execute(opens)
    assert await _doors(connection) == told

    await connection.execute(closes)
    assert await _doors(connection) == []


@pytest.mark.parametrize(("made", "tried"), SHUT.values(), ids=SHUT)
async def test_what_lets_nobody_in_is_no_door(app: tuple[str, Connection], made: str, tried: str) -> None:
    url, connection = app
    await migrate(url, folder=MIGRATIONS)

    await connection.execute(made)

    assert await _doors(connection) == []
    async with _signed_in(connection, BOB):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(tried)


async def _doors(connection: Connection) -> list[str]:
    return [row["door"] for row in await connection.fetch("select door from switchyard.open_doors() door")]


async def _read_as(connection: Connection, user: UUID) -> tuple[int, int]:
    """How many messages and functions of agents the user sees."""
    async with _signed_in(connection, user):
        row = await connection.fetchrow(READ)
    assert row is not None
    return row[0], row[1]


@asynccontextmanager
async def _signed_in(connection: Connection, user: UUID) -> AsyncIterator[None]:
    """Statements as PostgREST makes them for the user; all is taken back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        claims = orjson.dumps({"sub": str(user), "role": "authenticated"}).decode()
        await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
        await connection.execute("set local role authenticated")
        yield
    finally:
        await transaction.rollback()
