"""Readers that never read, or a byte a second, beside honest ones: gone soon, and nobody waits for them."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from routing import taking
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.attentive import attentive_readers, quantile
from tests.support.footprint import measured
from tests.support.process import ServerProcess
from tests.support.stuck import Fate, Place, stuck_readers
from tests.support.talkative import KIND

__all__ = ["FAULT"]

FULL_N: Final = 600
# One of six takes a byte a second.
TRICKLE_SHARE: Final = 6
CLOSED_S: Final = 30.0
WITHIN_S: Final = 35.0
GROWN_BYTES: Final = 64 * 1024 * 1024
SLOWER: Final = 1.2
# Below this a difference of times is the machine's.
NOISE_S: Final = 0.02
READERS_A_USER: Final = 40
HONEST: Final = 10
PAUSE_MS: Final = 20


async def perform(ground: Ground, findings: Findings) -> None:
    is_full = ground.n >= FULL_N
    moments = 1000 if is_full else 150
    async with ground.replica() as replica:
        stuck = [await _said(ground, replica) for _ in range(ground.n // READERS_A_USER + 1)]
        honest = await ground.person()
        agent = await ground.agent(honest, kind=KIND)
        before = await _attend(ground, replica, honest, agent, moments)
        url = str(replica.client.base_url).rstrip("/")
        port = replica.client.base_url.port
        assert port is not None
        async with measured(replica.process.pid, port=port) as footprint:
            attending = asyncio.create_task(_attend(ground, replica, honest, agent, moments))
            places = [Place(url, ground.token(person), run_id) for person, run_id in stuck]
            trickle = ground.n // TRICKLE_SHARE
            fates = await stuck_readers(
                places,
                never=ground.n - trickle,
                trickle=trickle,
                seed=ground.dice.randrange(2**32),
                within_s=WITHIN_S,
            )
            during = await attending
    _judge(findings, fates)
    findings.figure("grown_mb", round(footprint.grown / 1e6, 1))
    findings.figure("unsent_mb", round(footprint.most_unsent / 1e6, 1))
    findings.expect(footprint.grown <= GROWN_BYTES, "the server took more than 64 MB for them")
    findings.spread("honest_before", before)
    findings.spread("honest", during)
    if is_full:
        slowest_s = quantile(before, 0.99) * SLOWER + NOISE_S
        findings.expect(quantile(during, 0.99) <= slowest_s, "honest readers had to wait for them")


def _judge(findings: Findings, fates: list[Fate]) -> None:
    findings.hit(len(fates))
    for transport in ("sse", "ws"):
        stood = [each.open_s for each in fates if each.transport == transport]
        findings.spread(f"{transport}_closed", [each for each in stood if each is not None])
        for each in stood:
            findings.expect(
                each is not None and each <= CLOSED_S, f"a reader over {transport} was not cut off"
            )


async def _said(ground: Ground, replica: ServerProcess) -> tuple[UUID, str]:
    """A user with a run that has said more than all buffers hold."""
    person = await ground.person()
    agent = await ground.agent(person, kind=KIND)
    run_id = await _begin(ground, replica, person, agent, kilobytes=2048)
    async with asyncio.timeout(60):
        while await ground.sql.fetchval(
            "select ended_at is null from switchyard.runs where id = $1", UUID(run_id)
        ):
            await asyncio.sleep(0.05)
    return person, run_id


async def _attend(
    ground: Ground, replica: ServerProcess, person: UUID, agent: UUID, moments: int
) -> list[float]:
    runs = [
        await _begin(ground, replica, person, agent, moments=moments, pause_ms=PAUSE_MS)
        for _ in range(HONEST)
    ]
    url = str(replica.client.base_url).rstrip("/")
    places = [Place(url, ground.token(person), run_id) for run_id in runs]
    return await attentive_readers(places, within_s=120)


async def _begin(ground: Ground, replica: ServerProcess, person: UUID, agent: UUID, **input_: int) -> str:
    body = {"agentId": str(agent), "messages": [{"role": "user", "content": "talk"}], "input": input_}
    headers = {"Authorization": f"Bearer {ground.token(person)}", "Prefer": "respond-async"}
    answer = await replica.client.post("/api/agent/execute", json=body, headers=headers)
    return str(answer.raise_for_status().json()["runId"])


def wait_for_everybody() -> None:
    """Neither we nor the system give up a client."""

    def ignore(self: taking.Taking) -> None:
        del self

    taking.Taking.watch = ignore  # type: ignore[method-assign]
    taking.SYSTEM_MS = 0


FAULT = Fault(
    name="slow-readers",
    promise="500 that never read, 100 at 1 B/s: each closed within 30 s, memory at most 64 MB more,"
    " the p99 of honest readers within 20 %",
    full_n=FULL_N,
    small_n=24,
    perform=perform,
    mutations=(
        Mutation(
            "no-deadline",
            removes="the deadline for taking what is sent, and the system's own",
            patch=f"{__name__}:wait_for_everybody",
        ),
    ),
)
