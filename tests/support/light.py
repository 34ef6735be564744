"""Asking light agents, and looking at what was held and charged for them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import httpx2

from foundation.errors import Json
from tests.support.chat import ChatServer
from tests.support.server import Document, Person, TestServer

__all__ = ["RUNTIME", "add_function", "ask_runtime", "ledger", "light_agent", "money"]

RUNTIME = "/functions/v1/agent-runtime"


async def light_agent(chat: ChatServer, owner: UUID, **row: Json) -> UUID:
    """A light chat agent of `owner`; `row` are more columns of its row."""
    columns: dict[str, Json] = {"price": {"flat": 1}, **row}
    places = ", ".join(f"${number}" for number in range(2, len(columns) + 2))
    made: UUID = await chat.server.sql.fetchval(
        f"insert into public.agents (user_id, name, {', '.join(columns)})"  # noqa: S608 - the tests' own
        f" values ($1, 'Light', {places}) returning id",
        owner,
        *columns.values(),
    )
    return made


async def add_function(
    server: TestServer, agent_id: UUID, type_: str, config: Document, *, keyword: str = "go", order: int = 0
) -> None:
    await server.sql.execute(
        "insert into public.agent_functions"
        " (agent_id, name, function_type, trigger_keywords, config, execution_order)"
        " values ($1, 'Weather', $2, array[$3], $4, $5)",
        agent_id,
        type_,
        keyword,
        config,
        order,
    )


async def ask_runtime(
    person: Person,
    agent_id: UUID,
    text: str = "hello",
    *,
    headers: Mapping[str, str] | None = None,
    **changes: object,
) -> httpx2.Response:
    body = {"agentId": str(agent_id), "messages": [{"role": "user", "content": text}], **changes}
    return await person.client.post(RUNTIME, json=body, headers=headers or {})


async def money(server: TestServer, person: Person) -> tuple[int, int]:
    """Balance and held."""
    account = await server.sql.fetchval("select public.switchyard_credits_get($1)", person.id)
    return account["balance"], account["held"]


async def ledger(server: TestServer, person: Person) -> list[tuple[str, int]]:
    """(kind, amount) of every row but the opening one, in order."""
    rows = await server.sql.fetch(
        "select kind, amount from switchyard.ledger where user_id = $1 and kind <> 'opening' order by id",
        person.id,
    )
    return [(row["kind"], row["amount"]) for row in rows]
