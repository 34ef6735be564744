"""Edge functions and backends of unlike `CREDITS_OWNER`, at once or in turn: nothing is charged twice."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from tests.support.deno import running_function
from tests.support.pairs import Pairs
from tests.support.process import NO_TLS
from tests.support.tables import Connection, Tables, connected

OPENING = ("opening", 10, 0)
HELD_FOR_NOTHING = [("hold", 0, 1), ("release", 0, -1)]


async def _heavy_agent(sql: Connection, tables: Tables, user: UUID) -> str:
    agent = await tables.agent(user)
    await sql.execute("update public.agents set is_heavy = true where id = $1", agent)
    return str(agent)


@pytest.mark.parametrize(("at_edge", "at_backend"), [("caller", "backend"), ("backend", "caller")])
async def test_a_run_that_both_would_charge_for_or_nobody_is_refused_and_free(
    pairs: Pairs, tmp_path: Path, at_edge: str, at_backend: str
) -> None:
    pair = await pairs.of(at_backend)
    async with connected(pair.ground.database_url) as sql:
        tables = Tables(sql)
        user = await tables.user()
        agent = await _heavy_agent(sql, tables, user)
        body = {"agentId": agent, "messages": [{"role": "user", "content": "go"}]}
        headers = {"authorization": f"Bearer {pair.ground.gateway.forge.token(user)}"}

        told = {**pair.settings, "CREDITS_OWNER": at_edge}
        async with (
            running_function(tmp_path / "log", **told) as url,
            httpx2.AsyncClient(trust_env=False, verify=NO_TLS, timeout=60) as client,
        ):
            answer = await client.post(url, json=body, headers=headers)

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "not_configured"), answer.text
        assert f"{at_edge} at the edge function and {at_backend} here" in problem["detail"]
        assert await tables.ledger(user) == [OPENING, *(HELD_FOR_NOTHING if at_edge == "caller" else [])]
        assert await sql.fetchval("select count(*) from switchyard.runs where user_id = $1", user) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_whose_run_the_backend_has_charged_is_not_charged_for_at_the_edge(
    pairs: Pairs, *, stream: bool
) -> None:
    before, after = await pairs.of("backend"), await pairs.of("caller")
    async with connected(before.ground.database_url) as sql:
        tables = Tables(sql)
        user = await tables.user()
        agent = await _heavy_agent(sql, tables, user)
        turns = [{"role": "user", "content": "go"}]
        body = {"agentId": agent, "messages": turns, "stream": stream}
        headers = {
            "authorization": f"Bearer {before.ground.gateway.forge.token(user)}",
            "idempotency-key": "order-1",
        }

        async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS, timeout=60) as client:
            answers = [
                await client.post(pair.function_url, json=body, headers=headers) for pair in (before, after)
            ]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].text == answers[1].text
        charged = [("hold", 0, 1), ("settle", -1, -1)]
        assert await tables.ledger(user) == [OPENING, *charged, *HELD_FOR_NOTHING]
