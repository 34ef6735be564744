"""An immediate restart of Postgres under 32 writers, who repeat under their keys what was not answered.

The server of this fault does not sync: SIGQUIT takes what its processes hold, never what the kernel has, and
every commit has been handed to the kernel before it is acknowledged. A power cut is another fault.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any
from uuid import UUID

import httpx2
import orjson

from foundation.db import PoolDatabase
from foundation.errors import DatabaseUnavailable
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.hardening.insist import PAUSE_S, insist
from tests.support.process import NO_TLS

__all__ = ["FAULT"]

BALANCE = 10_000_000
# A user has an hourly limit, and one writer's runs of a whole performance are to stay below it.
SUBMITTERS, STREAMERS, DEDUCTERS = 16, 12, 4
LATER = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
POISON = "poison"
BETWEEN_S = (0.2, 0.7)
# What is under way after the last restart; a run that is gone from the database would be waited for for ever.
END_WITHIN_S = 60.0


@dataclass
class Writer:
    """
    acknowledged: the run or charge of each key; `is_under_way` while a request has no answer yet
    """

    number: int
    person: UUID
    agent: UUID
    acknowledged: dict[str, str] = field(default_factory=dict)
    is_under_way: bool = False
    unanswered: int = 0
    poisoned: int = 0  # runs whose worker three restarts in a row have cost their leases: ended, and free
    _keys: count[int] = field(default_factory=lambda: count(1))

    def key(self) -> str:
        return f"writer-{self.number}-{next(self._keys)}"


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a restart that found requests under way."""
    writers = []
    for number in range(SUBMITTERS + STREAMERS + DEDUCTERS):
        person = await ground.person(balance=BALANCE)
        writers.append(Writer(number, person, await ground.agent(person)))
    await ground.sql.execute("update switchyard.plans set per_minute = 1000000, per_hour = 1000000")
    async with ground.replica() as first, ground.replica() as second:
        is_over, away_s = asyncio.Event(), list[float]()
        urls = [str(each.client.base_url) for each in (first, second)]
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as writing:
            for writer in writers:
                writing.create_task(_write(ground, findings, writer, urls, is_over))
            for _ in range(ground.n):
                await asyncio.sleep(ground.dice.uniform(*BETWEEN_S))
                findings.hit(any(writer.is_under_way for writer in writers))
                began_s = time.monotonic()
                await ground.restart_database()
                away_s.append(time.monotonic() - began_s)
            await asyncio.sleep(BETWEEN_S[0])
            is_over.set()
            limit.reschedule(asyncio.get_running_loop().time() + END_WITHIN_S)
        findings.spread("away", away_s)
    await _compare(ground, findings, writers)


async def _write(
    ground: Ground, findings: Findings, writer: Writer, urls: list[str], is_over: asyncio.Event
) -> None:
    headers = {"authorization": f"Bearer {ground.token(writer.person)}"}
    async with AsyncExitStack() as stack:
        pool = PoolDatabase(ground.url, size=1)
        if writer.number >= SUBMITTERS + STREAMERS:
            await pool.start()
            stack.push_async_callback(pool.stop)
        clients = [
            await stack.enter_async_context(
                httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS)
            )
            for url in (urls[writer.number % 2], urls[1 - writer.number % 2])
        ]
        while not is_over.is_set():
            writer.is_under_way = True
            if writer.number < SUBMITTERS:
                await _submit(findings, writer, clients)
            elif writer.number < SUBMITTERS + STREAMERS:
                await _stream(writer, clients)
            else:
                await _deduct(writer, pool)
            writer.is_under_way = False


# Any: a body of the wire.
def _body(writer: Writer, key: str) -> dict[str, Any]:
    return {
        "agentId": str(writer.agent),
        "messages": [{"role": "user", "content": "go"}],
        "input": {"chunks": [key, "!"]},
    }


async def _submit(findings: Findings, writer: Writer, clients: list[httpx2.AsyncClient]) -> None:
    key = writer.key()
    path, body = "/api/agent/execute", _body(writer, key)
    answer, unanswered = await insist(clients, path, body=body, idempotency_key=key)
    writer.unanswered += unanswered
    while answer.status_code == HTTPStatus.ACCEPTED:
        # Accepted, and its end could not be waited for: the same request joins it again.
        await asyncio.sleep(PAUSE_S)
        answer, unanswered = await insist(clients, path, body=body, idempotency_key=key)
        writer.unanswered += unanswered + 1
    if answer.json().get("code") == POISON:
        writer.poisoned += 1
        return
    is_told = answer.status_code == HTTPStatus.OK and answer.json()["response"] == f"{key}!"
    findings.expect(is_told, f"answered {answer.status_code} {answer.text[:200]}")
    writer.acknowledged[key] = answer.json().get("runId", "")


async def _stream(writer: Writer, clients: list[httpx2.AsyncClient]) -> None:
    """Begin, or come back, until the end is here; the numbers must go on without a gap."""
    key, after, run_id, is_ended, is_free = writer.key(), 0, "", False, False
    body = {**_body(writer, key), "stream": True}
    while not is_ended:
        client = clients[writer.unanswered % 2]
        request = (
            client.build_request(
                "GET",
                f"/api/runs/{run_id}/events",
                headers={"accept": "text/event-stream", "last-event-id": str(after)},
            )
            if run_id
            else client.build_request(
                "POST", "/api/agent/execute", json=body, headers={"idempotency-key": key}
            )
        )
        try:
            answer = await client.send(request, stream=True)
            try:
                assert answer.status_code in {HTTPStatus.OK, *LATER}, await answer.aread()
                async for line in answer.aiter_lines():
                    told = orjson.loads(line[5:]) if line.startswith("data:") else {}
                    if "seq" in told:
                        assert told["seq"] == after + 1, f"{told} after {after}"
                        run_id, after = told["runId"], told["seq"]
                        is_ended = told["type"] in {"done", "error"}
                        assert told["type"] != "error" or told["code"] == POISON, told
                        writer.poisoned += told["type"] == "error"
                        is_free = told["type"] == "error"
            finally:
                await answer.aclose()
        except httpx2.TransportError:
            pass
        if not is_ended:
            writer.unanswered += 1
            await asyncio.sleep(PAUSE_S)
    if not is_free:
        writer.acknowledged[key] = run_id


async def _deduct(writer: Writer, pool: PoolDatabase) -> None:
    """As an edge function: without a run, and begun again from its start wherever it was broken off."""
    key = writer.key()
    while True:
        try:
            await pool.call("deduct_credits", user_id=str(writer.person), credits=1, key=key)
            # What it does for that: the charge may be booked, and it not told.
            await asyncio.sleep(PAUSE_S)
            await pool.call("switchyard_clock")
        except DatabaseUnavailable:
            writer.unanswered += 1
            await asyncio.sleep(PAUSE_S)
            continue
        break
    writer.acknowledged[key] = f"{key}:charge"
    await asyncio.sleep(PAUSE_S)


async def _compare(ground: Ground, findings: Findings, writers: list[Writer]) -> None:
    for writer in writers:
        rows = await ground.sql.fetch(
            "select coalesce(l.run_id::text, l.key) as effect, k.key from switchyard.ledger l"
            " left join switchyard.request_keys k on k.run_id = l.run_id"
            " where l.user_id = $1 and l.kind in ('settle', 'charge')",
            writer.person,
        )
        booked = sorted(row["effect"] for row in rows)
        told = sorted(writer.acknowledged.values())
        findings.expect(booked == told, f"{len(told)} were acknowledged and {len(booked)} booked")
        left = await ground.sql.fetchval(
            "select credits_remaining from public.credit_balances where user_id = $1", writer.person
        )
        findings.expect(left == BALANCE - len(told), f"{BALANCE - (left or 0)} was charged for {len(told)}")
    findings.figure("acknowledged", sum(len(each.acknowledged) for each in writers))
    findings.figure("poisoned", sum(each.poisoned for each in writers))
    findings.figure("unanswered", sum(each.unanswered for each in writers))


FAULT = Fault(
    name="pg-restart",
    promise="an immediate restart of Postgres under 32 writers: acknowledged = ledger = balance moved",
    full_n=200,
    small_n=4,
    perform=perform,
    has_own_server=True,
    mutations=(
        Mutation(
            "hasty-commits",
            removes="the wait of a commit until it is written",
            sql="do $$ begin execute format("
            "'alter database %I set synchronous_commit = off', current_database()); end $$",
        ),
        Mutation(
            "unlogged-ledger",
            removes="the log of what is written to the ledger",
            sql="alter table switchyard.ledger set unlogged;",
        ),
        Mutation(
            "charged-again",
            removes="the ledger's unique keys, and the look for an earlier charge",
            sql="drop index switchyard.ledger_key_once;"
            + rewritten("public.deduct_credits", "\n  if found then", "\n  if false then"),
        ),
    ),
)
