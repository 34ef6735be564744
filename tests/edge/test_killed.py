"""What an edge function leaves that is killed in the middle of an answer: a hold, released in time."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.support.deno import running_function
from tests.support.pairs import Pairs
from tests.support.process import NO_TLS
from tests.support.server import until
from tests.support.tables import Tables, connected

ANSWER = " ".join(f"word{number}" for number in range(200))


async def test_a_function_that_is_killed_in_an_answer_charges_nobody(pairs: Pairs, tmp_path: Path) -> None:
    pair = await pairs.of("backend")
    ground = pair.ground
    await ground.model.play({"reply": {"text": ANSWER, "between_s": 0.1}})
    async with connected(ground.database_url) as sql:
        tables = Tables(sql)
        user = await tables.user()
        body = {"agentId": str(await tables.agent(user)), "messages": [{"role": "user", "content": "go"}]}
        headers = {"authorization": f"Bearer {ground.gateway.forge.token(user)}"}

        async with running_function(tmp_path / "log", **pair.settings) as url:
            await _read_until("word3", url, body={**body, "stream": True}, headers=headers)
            assert await tables.ledger(user) == [("opening", 10, 0), ("hold", 0, 1)]
        await sql.fetchval("select public.switchyard_credits_expire(0, 100)")

        assert await tables.ledger(user) == [("opening", 10, 0), ("hold", 0, 1), ("release", 0, -1)]
        assert await sql.fetchval("select public.switchyard_audit()") == []


async def test_the_next_function_releases_what_a_killed_one_held_where_there_is_no_backend(
    pairs: Pairs, tmp_path: Path
) -> None:
    pair = await pairs.of("backend")
    ground = pair.ground
    alone = {name: value for name, value in pair.settings.items() if name != "RAILWAY_BACKEND_URL"}
    await ground.model.play({"reply": {"text": ANSWER, "between_s": 0.1}})
    async with connected(ground.database_url) as sql:
        tables = Tables(sql)
        user = await tables.user(balance=1)
        body = {"agentId": str(await tables.agent(user)), "messages": [{"role": "user", "content": "go"}]}
        headers = {"authorization": f"Bearer {ground.gateway.forge.token(user)}"}
        async with running_function(tmp_path / "killed.log", **alone) as url:
            await _read_until("word3", url, body={**body, "stream": True}, headers=headers)
        await sql.execute(
            "update switchyard.request_holds set held_at = now() - interval '15 minutes' where user_id = $1",
            user,
        )
        await ground.model.play({"reply": {"text": "fine"}})

        async with running_function(tmp_path / "next.log", **alone) as url, _client() as client:

            async def is_answered() -> bool:
                # Refused as long as the last credit is held, and what has that hold released.
                return (await client.post(url, json=body, headers=headers)).status_code == 200

            await until(is_answered)

        held = [("hold", 0, 1), ("release", 0, -1), ("hold", 0, 1)]
        assert await tables.ledger(user) == [("opening", 1, 0), *held, ("settle", -1, -1)]
        assert await sql.fetchval("select public.switchyard_audit()") == []


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, verify=NO_TLS, timeout=60)


async def _read_until(word: str, url: str, *, body: dict[str, object], headers: dict[str, str]) -> None:
    async with (
        _client() as client,
        client.stream("POST", url, json=body, headers=headers) as answer,
    ):
        seen = ""
        async for text in answer.aiter_text():
            seen += text
            if word in seen:
                return
    raise AssertionError(seen)
