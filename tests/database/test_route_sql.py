"""One look before a request is answered or sent on: what the caller may spend, and the agent."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from foundation.errors import Json, NotConfigured
from tests.support.sql import Sql


async def test_a_light_agent_is_told_with_all_that_an_answer_takes(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 4, "k")
    agent = await sql.agent(user)
    await _write(sql, agent, "system_prompt = 'Be brief.', knowledge_base = '[{\"content\": \"open at 9\"}]'")
    await _function(sql, agent, "second", order=2)
    await _function(sql, agent, "first", order=1)
    await _function(sql, agent, "off", order=0, is_enabled=False)

    route = await sql.route(user, agent)

    first, second = route["agent"].pop("functions")
    assert route == {
        "available": 6,
        "agent": {
            "id": str(agent),
            "name": "a",
            "is_published": False,
            "is_owned": True,
            "is_heavy": False,
            "railway_url": None,
            "kind": "chat",
            "system_prompt": "Be brief.",
            "ai_model": "google/gemini-2.5-flash",
            "temperature": 0.7,
            "max_tokens": 1000,
            "knowledge_base": [{"content": "open at 9"}],
            "price": {"flat": 1},
            "config": {},
        },
    }
    assert (first["name"], second["name"]) == ("first", "second")
    assert first == {
        "name": "first",
        "function_type": "conditional",
        "trigger_keywords": ["hours"],
        "config": {"response": "nine to five"},
    }


async def test_of_a_heavy_agent_only_what_decides_is_told(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await _write(
        sql,
        agent,
        "is_heavy = true, railway_url = 'https://own.example', system_prompt = repeat('x', 2000000)",
    )
    await _function(sql, agent, "never", order=1)

    route = (await sql.route(user, agent))["agent"]

    assert (route["is_heavy"], route["railway_url"]) == (True, "https://own.example")
    assert (route["system_prompt"], route["knowledge_base"], route["config"], route["functions"]) == (
        None,
        [],
        {},
        [],
    )


@pytest.mark.parametrize(
    ("is_published", "status", "is_found"),
    [(True, "active", True), (False, "active", False), (True, "archived", False)],
)
async def test_somebody_elses_agent_is_found_if_it_is_published_and_active(
    sql: Sql, is_published: bool, status: str, is_found: bool
) -> None:
    user, owner = await sql.user(), await sql.user()
    agent = await sql.agent(owner, is_published=is_published, status=status)

    route = await sql.route(user, agent)

    assert (route["agent"] is not None) is is_found
    assert not is_found or route["agent"]["is_owned"] is False


async def test_a_stranger_without_an_account_and_an_agent_that_is_not_there_are_no_errors(sql: Sql) -> None:
    assert await sql.route(uuid4(), uuid4()) == {"available": 0, "agent": None}


async def test_a_light_agent_that_is_too_large_is_refused(sql: Sql) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await _write(sql, agent, "system_prompt = repeat('x', 1000001)")

    with pytest.raises(NotConfigured, match="most of them in its system_prompt"):
        await sql.route(user, agent)


@pytest.mark.parametrize(("count", "bytes_"), [(101, 10), (2, 600_000)])
async def test_a_light_agent_with_too_much_of_functions_is_refused(sql: Sql, count: int, bytes_: int) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    for number in range(count):
        await _function(sql, agent, f"f{number}", order=number, config={"response": "x" * bytes_})

    with pytest.raises(NotConfigured, match="its owner has to remove some"):
        await sql.route(user, agent)


async def _write(sql: Sql, agent: UUID, assignments: str) -> None:
    await sql.connection.execute(
        f"update public.agents set {assignments} where id = $1",  # noqa: S608 - the tests' own
        agent,
    )


async def _function(
    sql: Sql, agent: UUID, name: str, *, order: int, is_enabled: bool = True, config: Json = None
) -> None:
    await sql.connection.execute(
        "insert into public.agent_functions"
        " (agent_id, name, function_type, trigger_keywords, config, is_enabled, execution_order)"
        " values ($1, $2, 'conditional', '{hours}', $3, $4, $5)",
        agent,
        name,
        config or {"response": "nine to five"},
        is_enabled,
        order,
    )
