"""One replica whose clock is an hour or a day off, while another executes runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx2
import psutil

from foundation.clock import GuidedClock
from foundation.identity.development import development_secret
from foundation.settings import Settings
from foundation.telemetry.health import OK
from heavy_agents.runs import readiness
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import LAUNCH, Ground
from tests.support.faketime import wrong_clock
from tests.support.process import ServerProcess
from tests.support.stubborn import KIND

__all__ = ["FAULT"]

HOUR_S: Final = 3600
OFFSETS_S: Final = (-25 * HOUR_S, -HOUR_S, HOUR_S, 25 * HOUR_S)
RUNS: Final = 3
# Longer than a lease, so that whoever took it for over would have taken the run.
WORDS: Final = 450
WITHIN_S: Final = 60.0
ENDED: Final = "select status, epoch from switchyard.runs where id = $1"


async def perform(ground: Ground, findings: Findings) -> None:
    person = await ground.person()
    agent = await ground.agent(person, kind=KIND)
    # The replica that is right executes; the wrong one may take whatever it believes to be free.
    async with ground.replica() as right:
        for number in range(ground.n):
            offset_s = OFFSETS_S[(number + ground.dice.randrange(4)) % 4]
            runs = [await _begin(ground, right, person, agent) for _ in range(RUNS)]
            async with _wrong(ground, offset_s=offset_s, number=number) as wrong:
                await _look(ground, findings, wrong, person, offset_s=offset_s)
                await _until_ended(ground, runs)
                await _look(ground, findings, wrong, person, offset_s=offset_s)
            for run_id in runs:
                row = await ground.sql.fetchrow(ENDED, run_id)
                findings.expect(
                    tuple(row or ()) == ("succeeded", 1), f"a lease was stolen: {tuple(row or ())}"
                )


async def _look(
    ground: Ground, findings: Findings, wrong: ServerProcess, person: UUID, *, offset_s: int
) -> None:
    """It is not ready and says why, and it takes tokens for what they are."""
    answer, said = await _compared(wrong)
    findings.expect(answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE, f"{offset_s} s off, and ready")
    findings.expect("clock is" in said, f"{offset_s} s off, and it says {said!r}")
    for age_s, expected in ((0, httpx2.codes.OK), (HOUR_S // 2, httpx2.codes.UNAUTHORIZED)):
        headers = {"Authorization": f"Bearer {_token(ground, person, expired_for_s=age_s)}"}
        told = (await wrong.client.get("/api/credits", headers=headers)).status_code
        findings.expect(told == expected, f"{offset_s} s off, a token expired for {age_s} s gets {told}")
    findings.hit(
        "libfaketime" in " ".join(each.path for each in psutil.Process(wrong.process.pid).memory_maps())
    )


@asynccontextmanager
async def _wrong(ground: Ground, *, offset_s: int, number: int) -> AsyncIterator[ServerProcess]:
    settings = {**ground.settings, **wrong_clock(offset_s=offset_s)}
    patch = ground.mutation.patch if ground.mutation else ""
    async with ServerProcess.of(
        settings,
        program=(*LAUNCH, patch or "-"),
        log_file=Path(ground.folder, f"wrong-{number}.log"),
        ready_path="/health/liveness",
    ) as wrong:
        yield wrong


async def _compared(replica: ServerProcess) -> tuple[httpx2.Response, str]:
    """What it says once its database has answered, which takes a moment on a busy machine."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = await replica.client.get("/health/readiness")
            said: str = answer.json()["checks"].get("database", "")
            if said == OK or "clock" in said:
                return answer, said
            await asyncio.sleep(0.1)


def _token(ground: Ground, person: UUID, *, expired_for_s: int) -> str:
    """One that is good for a minute; or one that was, until so long ago."""
    from time import time

    from jwt import encode

    settings = Settings(_env_file=None, DATA_DIR=ground.folder)
    ends_at_s = int(time()) - expired_for_s if expired_for_s else int(time()) + 60
    claims = {
        "iss": settings.issuer,
        "sub": str(person),
        "aud": "authenticated",
        "role": "authenticated",
        "iat": ends_at_s - HOUR_S,
        "exp": ends_at_s,
    }
    return encode(claims, development_secret(settings), algorithm="HS256")


async def _begin(ground: Ground, replica: ServerProcess, person: UUID, agent: UUID) -> UUID:
    answer = await replica.client.post(
        "/api/agent/execute",
        json={
            "agentId": str(agent),
            "messages": [{"role": "user", "content": "go"}],
            "input": {"words": WORDS},
        },
        headers={"Authorization": f"Bearer {ground.token(person)}", "Prefer": "respond-async"},
    )
    return UUID(answer.raise_for_status().json()["runId"])


async def _until_ended(ground: Ground, runs: list[UUID]) -> None:
    query = "select count(*) from switchyard.runs where id = any($1) and ended_at is null"
    async with asyncio.timeout(WITHIN_S):
        while await ground.sql.fetchval(query, runs):
            await asyncio.sleep(0.1)


def be_ready_whatever_the_time() -> None:
    readiness.MAX_OFFSET_S = float("inf")


def go_by_this_machine() -> None:
    def ignore(self: GuidedClock, *, ahead_s: float) -> None:
        del self, ahead_s

    GuidedClock.guide = ignore  # type: ignore[method-assign]


FAULT = Fault(
    name="clocks",
    promise="one replica an hour or 25 hours off: no stolen leases, it is not ready and says why",
    full_n=20,
    small_n=1,
    perform=perform,
    mutations=(
        Mutation(
            "ready-at-any-time",
            removes="the look at the clock before a process says that it is ready",
            patch=f"{__name__}:be_ready_whatever_the_time",
        ),
        Mutation(
            "own-clock",
            removes="going by the database's clock where this machine's is wrong",
            patch=f"{__name__}:go_by_this_machine",
        ),
    ),
)
