"""An app that had tables before us: what is refused, what is changed, and that all else is as it was."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest

from foundation.db import MigrationError, migrate
from foundation.db.statements import split
from tests.support.adopted import app_before_us, facts, guide_sql, rows
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.tables import Connection

CHECK: Final = split((MIGRATIONS / "20261122090000_app_tables.sql").read_text(encoding="utf-8"))[0].text

# What stands in the way, and what is said of it. These the example of the guide mends, all of them at once.
MENDED: Final = {
    "alter table public.agents add price numeric": "agents.price is numeric and has to be jsonb",
    "alter table public.agents add config text": "agents.config is text and has to be jsonb",
    "update public.credit_balances set credits_remaining = 2147483648": (
        "credit_balances.credits_remaining has to be between -2147483648 and 2147483647 in every row"
    ),
    "alter table public.credit_balances alter credits_remaining type numeric(12, 2)": (
        "credit_balances.credits_remaining is numeric and has to be smallint or integer or bigint"
    ),
    "alter table public.credit_balances drop constraint one_account_a_user": (
        "user_id has to be unique in credit_balances"
    ),
    "alter table public.credit_balances alter user_id drop not null;"
    "insert into public.credit_balances (user_id) values (null)": (
        "credit_balances.user_id has to be set in every row"
    ),
    "alter table public.credit_balances add held integer": "credit_balances.held has to be not null",
    "alter table public.credit_usage add invoice text not null default 'x';"
    "alter table public.credit_usage alter invoice drop default": (
        "credit_usage.invoice has to have a default, or to take null"
    ),
    "drop view public.leaders; alter table public.credit_usage drop id": "credit_usage has no column id",
    "alter table public.conversations alter title type varchar(80)": (
        "conversations.title takes 80 characters and has to take 200"
    ),
    "alter table public.messages alter content type varchar(4000)": (
        "messages.content takes 4000 characters and has to take any number"
    ),
    'create policy "Everybody" on public.messages using (true)': (
        "messages has policies that are asleep, which row level security would wake: drop or enable them"
    ),
}
OBSTACLES: Final = MENDED | {
    "alter table public.credit_balances drop constraint one_account_a_user;"
    "create unique index on public.credit_balances (user_id) where theme = 'dark'": (
        "user_id has to be unique in credit_balances"
    ),
    "alter table public.agent_functions alter trigger_keywords type text using trigger_keywords::text": (
        "agent_functions.trigger_keywords is text and has to be text[] or character varying[]"
    ),
    "alter table public.credit_balances drop credits_remaining": (
        "credit_balances has no column credits_remaining"
    ),
    "alter table public.api_keys rename to app_keys; create view public.api_keys as select * from app_keys": (
        "api_keys is not a table"
    ),
    "create function public.get_admin_stats() returns json language sql return '{}'::json": (
        "a function get_admin_stats() is there already: rename it"
    ),
    "create view public.mine as select * from public.credit_balances; grant update on public.mine to anon": (
        "users may write credit_balances through mine: set its security_invoker, or revoke that"
    ),
    "create view public.below with (security_invoker = true) as select * from public.credit_usage;"
    "create view public.above with (check_option = local) as select * from public.below;"
    "grant delete on public.above to authenticated": (
        "users may write credit_usage through above: set its security_invoker, or revoke that"
    ),
}

GONE: Final = {
    *(
        f"{role} may {verb} {table}"
        for role in ("anon", "authenticated")
        for verb in ("insert", "update", "delete", "truncate", "references", "trigger")
        for table in ("credit_balances", "credit_usage")
    ),
    # Of the table that had no row level security.
    *(
        f"anon may {verb} messages"
        for verb in ("select", "insert", "update", "delete", "truncate", "references", "trigger", "maintain")
    ),
    *(f"authenticated may {verb} messages" for verb in ("truncate", "references", "trigger", "maintain")),
    "table messages, row level security f, ",
}
ADDED: Final = {
    "column": {
        "agent_functions.created_at",
        *(f"agents.{name}" for name in ("config", "kind", "price", "railway_url", "tools")),
        "credit_balances.held",
        "credit_balances.usage_month",
        "messages.metadata",
    },
    "policy": {"switchyard_own_messages"},
    "table": {"messages"},
    "constraint": {"credit_balances_held_check"},
    "trigger": {"agents", "credit_balances", "users"},
}


@dataclass(frozen=True)
class Adopted:
    """Facts and rows before and after, and the database as it is then."""

    url: str
    connection: Connection
    facts_before: set[str]
    facts_after: set[str]
    # Any: rows as JSON.
    rows_before: dict[str, list[Any]]
    rows_after: dict[str, list[Any]]


@pytest.fixture(scope="module")
async def adopted(database_server: DatabaseServer) -> AsyncIterator[Adopted]:
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        facts_before, rows_before = await facts(connection), await rows(connection)
        await migrate(url, folder=MIGRATIONS)
        after = await facts(connection), await rows(connection)
        yield Adopted(url, connection, facts_before, after[0], rows_before, after[1])


async def test_a_function_in_the_way_stops_it_before_anything_is_changed(
    database_server: DatabaseServer,
) -> None:
    async with app_before_us(database_server) as (url, connection):
        before = await facts(connection), await rows(connection)
        assert await _open(connection) == ["deduct_credits(uuid,integer)"]

        with pytest.raises(MigrationError, match=r"deduct_credits\(uuid,integer\) is there already: rename"):
            await migrate(url, folder=MIGRATIONS)

        assert (await facts(connection), await rows(connection)) == before
        assert await connection.fetchval("select to_regnamespace('switchyard')") is None


async def test_everything_in_the_way_is_said_at_once_and_stands_in_the_guide(
    database_server: DatabaseServer,
) -> None:
    async with app_before_us(database_server) as (_, connection):
        await connection.execute(guide_sql("rename"))
        assert await _open(connection) == []
        await connection.execute(CHECK)
        for obstacle, complaint in OBSTACLES.items():
            assert await _complaint(connection, obstacle) == f"{complaint};", obstacle
        at_once = await _complaint(connection, ";".join(MENDED))
        assert sorted(at_once.removesuffix(";").split("; ")) == sorted(MENDED.values())

        for obstacle in MENDED:
            await connection.execute(obstacle)
        await connection.execute(guide_sql("mend"))
        await connection.execute(CHECK)


async def test_every_row_is_as_it_was(adopted: Adopted) -> None:
    for table, before in adopted.rows_before.items():
        after = adopted.rows_after[table]
        assert len(after) == len(before), table
        for old, new in zip(before, after, strict=True):
            assert old.items() <= new.items()


async def test_nothing_is_lost_but_what_the_guide_lists(adopted: Adopted) -> None:
    assert adopted.facts_before - adopted.facts_after == GONE


async def test_nothing_is_added_but_what_the_guide_lists(adopted: Adopted) -> None:
    added: dict[str, set[str]] = {}
    for fact in adopted.facts_after - adopted.facts_before:
        kind, _, rest = fact.partition(" ")
        added.setdefault(kind, set()).add(re.split(r"[ ,:]", rest.removeprefix("of "))[0])

    functions = added.pop("function")
    assert all(name.startswith(("switchyard_", "deduct_credits(", "get_admin_stats(")) for name in functions)
    # An index more costs nobody a result, and a comment is set where there was none.
    assert added.pop("index") <= adopted.rows_before.keys()
    assert not {fact for fact in adopted.facts_before if fact.startswith("comment")} - adopted.facts_after
    added.pop("comment")
    assert added == ADDED


async def test_every_account_opens_with_what_it_had(adopted: Adopted) -> None:
    ledger = await adopted.connection.fetch(
        "select kind, amount, held from switchyard.ledger order by user_id"
    )

    assert [tuple(each) for each in ledger] == [("opening", 420, 0), ("opening", -3, 0), ("opening", 0, 0)]
    assert await adopted.connection.fetchval("select public.switchyard_audit()") == []


async def test_to_migrate_again_changes_nothing(adopted: Adopted) -> None:
    before = await facts(adopted.connection)

    assert await migrate(adopted.url, folder=MIGRATIONS) == []

    assert await facts(adopted.connection) == before == adopted.facts_after


async def test_the_app_is_as_before_once_we_have_left(database_server: DatabaseServer) -> None:
    async with app_before_us(database_server) as (url, connection):
        await connection.execute(guide_sql("rename"))
        before, rows_before = await facts(connection), await rows(connection)
        await migrate(url, folder=MIGRATIONS)

        await connection.execute(guide_sql("leave"))

        after = await facts(connection)
        left = {fact.partition(" ")[0] for fact in after - before}
        assert before - after == GONE
        assert left <= {"index", "comment", "table", "policy"}
        assert await rows(connection) == rows_before
        assert await connection.fetchval("select to_regnamespace('switchyard')") is None


async def _open(connection: Connection) -> list[str]:
    """Functions that write money for whoever calls them, as the guide finds them."""
    return [row[0] for row in await connection.fetch(guide_sql("open"))]


async def _complaint(connection: Connection, obstacle: str) -> str:
    """What is in the way after `obstacle`, which is taken back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(obstacle)
        with pytest.raises(asyncpg.RaiseError) as caught:
            await connection.execute(CHECK)
    finally:
        await transaction.rollback()
    found = re.search(r"nothing was changed: (.*;) docs", str(caught.value))
    assert found is not None
    return found[1]
