"""Clients that hold connections and hardly say anything: heads, bodies, silence."""

from __future__ import annotations

from typing import Final

from routing import HttpProtocol, bodies
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.slowloris import Way, slow_clients

__all__ = ["FAULT"]

CLOSED_S: Final = 15.0
# A byte a second is looked at when it comes; the rest is for a machine that is busy with the clients.
SLACK_S: Final = 3.0
WITHIN_S: Final = 25.0
FOR_EVER_S: Final = 1_000_000.0


async def perform(ground: Ground, findings: Findings) -> None:
    person = await ground.person()
    async with ground.replica() as replica:
        url = str(replica.client.base_url).rstrip("/")
        lorises = await slow_clients(
            url, ground.token(person), n=ground.n, seed=ground.dice.randrange(2**32), within_s=WITHIN_S
        )
        findings.hit(len(lorises))
        for way in Way:
            stood = [each.open_s for each in lorises if each.way is way]
            findings.spread(way.name.lower(), [each for each in stood if each is not None])
            for each in stood:
                findings.expect(
                    each is not None and each <= CLOSED_S + SLACK_S, f"{way.name} was not closed in time"
                )
        answer = await replica.client.get("/health/readiness")
        findings.expect(answer.is_success, f"afterwards the server says {answer.status_code}")


def wait_for_heads() -> None:
    HttpProtocol.head_within_s = FOR_EVER_S


def wait_for_bodies() -> None:
    patient = bodies.Pace(FOR_EVER_S, FOR_EVER_S, 0)
    (bodies.read_bytes.__kwdefaults__ or {})["pace"] = patient


FAULT = Fault(
    name="slowloris",
    promise="slow headers, slow body, silence: closed within 15 s",
    full_n=2000,
    small_n=50,
    perform=perform,
    mutations=(
        Mutation(
            "heads-for-ever", removes="the deadline of a head", patch=f"{__name__}:wait_for_heads", n=10
        ),
        Mutation("bodies-for-ever", removes="the pace of a body", patch=f"{__name__}:wait_for_bodies", n=10),
    ),
)
