"""Many submissions at once with one key."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus

import httpx2

from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground

__all__ = ["FAULT"]

# More at once than this meet the client's pool before they meet each other.
AT_ONCE = 250


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a submission that came while another with its key was under way."""
    person = await ground.person()
    agent = await ground.agent(person)
    headers = {"Authorization": f"Bearer {ground.token(person)}", "Idempotency-Key": "the-only-one"}
    body = {"agentId": str(agent), "messages": [{"role": "user", "content": "once"}]}
    other = {"agentId": str(agent), "messages": [{"role": "user", "content": "another"}]}
    answers: list[httpx2.Response] = []

    async with ground.replica() as first, ground.replica() as second:
        clients = (first.client, second.client)
        while len(answers) < ground.n:
            answers += await asyncio.gather(
                *(
                    clients[number % 2].post("/api/agent/execute", json=body, headers=headers)
                    for number in range(min(AT_ONCE, ground.n - len(answers)))
                )
            )
        conflict = await first.client.post("/api/agent/execute", json=other, headers=headers)

    findings.hit(len(answers) - 1)
    told = {answer.text for answer in answers}
    statuses = Counter(answer.status_code for answer in answers)
    findings.expect(set(statuses) == {HTTPStatus.OK}, f"answered {dict(statuses)}")
    findings.expect(len(told) == 1, f"{len(told)} different answers")
    findings.expect(
        (conflict.status_code, conflict.json().get("code"))
        == (HTTPStatus.UNPROCESSABLE_ENTITY, "key_conflict"),
        f"another body was answered with {conflict.status_code}",
    )
    runs = await ground.sql.fetchval("select count(*) from switchyard.runs")
    findings.expect(runs == 1, f"{runs} runs")
    kinds = Counter(kind for kind, _, _ in await ground.tables.ledger(person))
    findings.expect(kinds == {"opening": 1, "hold": 1, "settle": 1}, f"the ledger says {dict(kinds)}")


FAULT = Fault(
    name="idempotency",
    promise="1,000 submissions at once with one key: 1 run, 1 charge, equal answers; another body is 422",
    full_n=1_000,
    small_n=60,
    perform=perform,
    mutations=(
        Mutation(
            "no-unique-key",
            removes="the unique key of user and Idempotency-Key, and the look for an earlier run",
            sql="alter table switchyard.request_keys drop constraint request_keys_pkey;"
            + rewritten("public.switchyard_runs_submit", "on conflict (user_id, key) do nothing", "")
            + rewritten("switchyard.key_run", "if not found then", "if true then"),
        ),
    ),
)
