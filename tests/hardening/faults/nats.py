"""NATS killed, emptied, held or absent while runs are accepted at one replica and executed at another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import heavy_agents.runs.engine
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.nats import NatsServer, running_nats
from tests.support.process import ServerProcess, until

__all__ = ["FAULT", "only_when_told"]

WAYS = ("killed", "emptied", "held")
AT_ONCE = 3
# Far more than any of it takes; whoever has not begun by then waits for NATS.
WITHIN_S = 20.0
NOTICED_WITHIN_S = 60.0

WAITED = """
select extract(epoch from started_at - created_at)::double precision as waited_s
from switchyard.runs
where id = any($1::text[]::uuid[]) and started_at is not null
"""


async def perform(ground: Ground, findings: Findings) -> None:
    """A run accepted while NATS is away is a hit. It is away at the start, and again every other round."""
    person = await ground.person()
    agent = await ground.agent(person)
    waited_s: list[float] = []
    async with running_nats() as nats:
        nats.kill()
        async with _house(ground, nats, person) as (door, worker):
            away = "absent"
            for number in range(ground.n):
                if number:
                    away = ground.dice.choice(WAYS)
                    _take_away(nats, away)
                await _says(door, worker, is_ok=False)
                waited_s += await _round(ground, findings, door, agent=agent, away=away)
                findings.hit(AT_ONCE)
                if findings.violations:
                    return
                await _bring_back(nats, away)
                await _says(door, worker, is_ok=True)
                await _round(ground, findings, door, agent=agent, away="back")
    findings.spread("waited", waited_s)


def only_when_told() -> None:
    """In this process nobody looks for waiting runs unless a hint says so."""
    vars(heavy_agents.runs.engine)["IDLE_CLAIM_S"] = 3600.0


@asynccontextmanager
async def _house(
    ground: Ground, nats: NatsServer, person: UUID
) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    async with (
        ground.replica(NATS_URL=nats.url, ROLE="web") as door,
        ground.replica(NATS_URL=nats.url, ROLE="worker") as worker,
    ):
        door.client.headers["Authorization"] = f"Bearer {ground.token(person)}"
        yield door, worker


async def _round(
    ground: Ground, findings: Findings, door: ServerProcess, *, agent: UUID, away: str
) -> list[float]:
    """Accept some runs and follow them to their end; how long each waited for the worker."""
    body = {"agentId": str(agent), "messages": [{"role": "user", "content": f"said while it is {away}"}]}
    runs = await asyncio.gather(*(door.submit(body) for _ in range(AT_ONCE)))
    try:
        async with asyncio.timeout(WITHIN_S):
            seen = await asyncio.gather(*(_followed(door, run) for run in runs))
    except TimeoutError:
        findings.violated(f"a run was not over while NATS was {away}")
        return []
    for messages in seen:
        numbers = [message["seq"] for message in messages]
        findings.expect(
            numbers == list(range(1, len(numbers) + 1)) and messages[-1]["type"] == "done",
            f"a reader missed something while NATS was {away}",
        )
    return [row["waited_s"] for row in await ground.sql.fetch(WAITED, runs)]


# Any: messages of the wire.
async def _followed(door: ServerProcess, run: str) -> list[dict[str, Any]]:
    return [message async for message in door.messages(run) if "seq" in message]


def _take_away(nats: NatsServer, how: str) -> None:
    if how == "held":
        nats.hold()
        return
    nats.kill()
    if how == "emptied":
        nats.forget()


async def _bring_back(nats: NatsServer, how: str) -> None:
    if how == "held":
        nats.release()
    else:
        await nats.start()


async def _says(*replicas: ServerProcess, is_ok: bool) -> None:
    """Wait until readiness says so of NATS, everywhere."""

    async def do_all() -> bool:
        said = [(await each.get("/health/readiness"))["checks"]["nats"] for each in replicas]
        return all((one == "ok") == is_ok for one in said)

    await until(do_all, within_s=NOTICED_WITHIN_S)


FAULT = Fault(
    name="nats",
    promise="nats-server stopped, restarted, absent: 0 runs lost, a start delayed by 2 s at most",
    full_n=50,
    small_n=2,
    perform=perform,
    mutations=(
        Mutation(
            "only-when-told",
            removes="the workers' own look every two seconds",
            patch="tests.hardening.faults.nats:only_when_told",
            n=1,
        ),
    ),
)
