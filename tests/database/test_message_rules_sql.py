"""Rules that an app has for its messages: what they refuse is left out, what only passes is tried again."""

from __future__ import annotations

from typing import Final

import pytest

from foundation.errors import DatabaseUnavailable
from tests.support.conversations import begun, kept_in, running
from tests.support.sql import Sql


def trigger_raising(state: str) -> str:
    """A trigger that refuses every message."""
    return (
        "create function public.refuses() returns trigger language plpgsql as"
        f" $$ begin raise sqlstate '{state}' using message = 'not now'; end $$;"
        "create trigger refuses after insert on public.messages"
        " for each row execute function public.refuses()"
    )


WITHOUT_TRIGGER: Final = "drop trigger refuses on public.messages; drop function public.refuses()"
OF_MESSAGES: Final = {
    "a constraint": (
        "alter table public.messages add constraint ours check (role in ('user', 'agent'))",
        "alter table public.messages drop constraint ours",
    ),
    "a trigger": (trigger_raising("P0001"), WITHOUT_TRIGGER),
}


@pytest.mark.parametrize(("rule", "without"), OF_MESSAGES.values(), ids=OF_MESSAGES)
async def test_an_apps_own_rules_for_messages_keep_no_run_from_ending(
    sql: Sql, rule: str, without: str
) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")
    await sql.connection.execute(rule)
    try:
        ended = await sql.finish(claim, response="a1")
    finally:
        await sql.connection.execute(without)

    assert ended["run"]["status"] == "succeeded"
    assert await sql.money(user) == (9, 0)
    assert await kept_in(sql, conversation) == "u1"


async def test_an_answer_is_not_left_out_for_what_passes(sql: Sql) -> None:
    user, conversation = await begun(sql)
    claim = await running(sql, user, conversation, "u1")
    await sql.connection.execute(trigger_raising("40001"))
    try:
        with pytest.raises(DatabaseUnavailable):
            await sql.finish(claim, response="a1")
    finally:
        await sql.connection.execute(WITHOUT_TRIGGER)

    assert (await sql.finish(claim, response="a1"))["finished"] is True
    assert await kept_in(sql, conversation) == "u1 a1"
