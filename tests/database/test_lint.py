"""Supabase's advisors find nothing in our schema, by our own queries and by their own program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.advisors import RULES, Rule
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.sql import Sql, opened
from tests.support.supabase_cli import SupabaseCli
from tests.support.tables import Connection, connected

# What it says of the engine's tables, which no user shall reach, and of a database that nobody has used.
AS_IT_SHALL_BE: Final = {("rls_enabled_no_policy", "switchyard")}
OF_USE: Final = {"unused_index"}


@pytest.fixture(scope="module")
async def shared(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server) as sql:
        yield sql


@pytest.fixture
def connection(shared: Sql) -> Connection:
    return shared.connection


@pytest.mark.parametrize("rule", RULES, ids=str)
async def test_our_schema_breaks_no_rule(connection: Connection, rule: Rule) -> None:
    assert await _found(connection, rule) == []


@pytest.mark.parametrize("rule", RULES, ids=str)
async def test_a_rule_names_what_breaks_it(connection: Connection, rule: Rule) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(rule.violation)

        assert await _found(connection, rule) == [rule.subject]
    finally:
        await transaction.rollback()


async def test_supabases_own_advisors_find_what_was_planted_and_nothing_else(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await fresh_database(database_server)
    async with connected(url) as connection:
        for rule in RULES:
            await connection.execute(rule.violation)

    answer = await SupabaseCli.on(tmp_path).run("db", "advisors", "--level=info", url=url)

    planted = [each for each in answer["results"] if "planted" in each["detail"]]
    others = [each for each in answer["results"] if each not in planted]
    assert {each["name"] for each in planted} >= {rule.name for rule in RULES if rule.is_in_cli}
    assert {_kind(each) for each in others if each["name"] not in OF_USE} == AS_IT_SHALL_BE
    await drop(database_server, url)


async def _found(connection: Connection, rule: Rule) -> list[str]:
    return [row[0] for row in await connection.fetch(rule.finds)]


# Any: one of its findings.
def _kind(finding: dict[str, Any]) -> tuple[str, str]:
    return finding["name"], finding["metadata"]["schema"]
