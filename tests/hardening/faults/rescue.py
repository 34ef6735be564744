"""How long a client hears nothing after the process that executes its run was killed."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx2

from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.fleet import Fleet, Place
from tests.hardening.ground import Ground
from tests.hardening.struck import struck_at
from tests.support.process import NO_TLS
from tests.support.stubborn import KIND
from tests.support.viewer import Viewer

__all__ = ["FAULT"]

FULL_N = 300
AT_ONCE = 30
# More words than are said before the kill and until the end is asked for.
INPUT = {"words": 4_000, "pause_ms": 20}
# What nothing takes, on a starved machine either.
NEVER_S = 30.0
# For a statement that was under way when its process died.
LAST_WORDS_S = 0.1
LOOK_S = 0.005


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a run whose process was killed; all are watched at the other replica."""
    took_s: list[float] = []
    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(trust_env=False, verify=NO_TLS, timeout=60, limits=limits) as client,
        Fleet.of(ground, places=2) as fleet,
    ):
        rescue = Rescue(ground, findings, fleet, client)
        await rescue.prepare()
        while findings.hits < ground.n:
            executes, survives = ground.dice.sample(fleet.places, 2)
            most = min(AT_ONCE, ground.n - findings.hits)
            took_s += await rescue.once(executes, survives, runs=most)
            if findings.violations:
                break
            if findings.hits < ground.n:
                await fleet.start(executes)

    findings.spread("silent", took_s)
    if ground.n >= FULL_N:
        findings.in_time("silent", p50=5.0, p99=8.0)


class Rescue:
    def __init__(self, ground: Ground, findings: Findings, fleet: Fleet, client: httpx2.AsyncClient) -> None:
        self._ground = ground
        self._findings = findings
        self._fleet = fleet
        self._client = client
        self._person = self._agent_id = UUID(int=0)
        self._token = ""

    async def prepare(self) -> None:
        self._person = await self._ground.person()
        self._token = self._ground.token(self._person)
        self._agent_id = await self._ground.agent(self._person, kind=KIND)

    async def once(self, executes: Place, survives: Place, *, runs: int) -> list[float]:
        """Kill the one of two that executes; for each run how long it was silent."""
        viewers = [await self._begin(executes, survives) for _ in range(runs)]
        watching = [asyncio.create_task(viewer.watch()) for viewer in viewers]
        try:
            for viewer in viewers:
                await _next_after(viewer, 2)
            # Leases are renewed every second: a kill may come at any time before that.
            await asyncio.sleep(self._ground.dice.uniform(0, 1))
            struck = {each.run_id for each in await struck_at(self._ground.sql, executes)}
            self._findings.hit(len(struck))
            killed_at_s = await self._fleet.kill([executes])
            await asyncio.sleep(LAST_WORDS_S)
            # Taken as soon as nobody is left who could write in its name.
            last = {viewer.run_id: await self._last_seq(viewer) for viewer in viewers}
            ahead = (_next_after(viewer, last[viewer.run_id]) for viewer in viewers)
            firsts = await asyncio.gather(*ahead)
            if None in firsts:
                self._findings.violated(f"a run was not gone on with within {NEVER_S} s")
                return []
            await self._end(viewers, survives)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        return [at_s - killed_at_s for at_s in firsts if at_s is not None]

    async def _begin(self, executes: Place, survives: Place) -> Viewer:
        assert executes.server is not None
        body = {
            "agentId": str(self._agent_id),
            "messages": [{"role": "user", "content": "go"}],
            "input": INPUT,
        }
        answer = await self._post(
            executes, "/api/agent/execute", json=body, headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text

        async def survivor(_visit: int) -> str:
            return survives.url

        return Viewer(answer.json()["runId"], self._token, self._client, survivor, self._ground.dice)

    async def _last_seq(self, viewer: Viewer) -> int:
        last_seq: int = await self._ground.sql.fetchval(
            "select last_seq from switchyard.runs where id = $1", UUID(viewer.run_id)
        )
        return last_seq

    async def _end(self, viewers: list[Viewer], survives: Place) -> None:
        """Cancel what has been gone on with, and look whether all that was seen is what was logged."""
        for viewer in viewers:
            await self._post(survives, f"/api/runs/{viewer.run_id}/cancel")
        ends_at_s = time.monotonic() + NEVER_S
        for viewer in viewers:
            while not viewer.is_over and time.monotonic() < ends_at_s:
                await asyncio.sleep(LOOK_S)
            self._findings.expect(viewer.is_over, f"a run was not over {NEVER_S} s after it was cancelled")
            numbers = [message["seq"] for message in viewer.seen]
            self._findings.expect(numbers == list(range(1, len(numbers) + 1)), "a client missed events")

    # Any: options of the library.
    async def _post(self, place: Place, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._token}", **options.pop("headers", {})}
        return await self._client.post(place.url + path, headers=headers, **options)


async def _next_after(viewer: Viewer, seq: int) -> float | None:
    """When the first event after this one was heard."""
    ends_at_s = time.monotonic() + NEVER_S
    while viewer.after <= seq and time.monotonic() < ends_at_s:
        await asyncio.sleep(LOOK_S)
    return next((each.at_s for each in viewer.heard if each.message["seq"] > seq), None)


FAULT = Fault(
    name="rescue",
    promise="from SIGKILL to the next event of a run: p50 at most 5 s, p99 at most 8 s",
    full_n=FULL_N,
    small_n=8,
    perform=perform,
    mutations=(
        Mutation(
            "no-reaping",
            removes="looking for leases of other processes that have ended",
            sql=rewritten("public.switchyard_runs_reap", "lease_until < v_now", "false"),
            n=2,
        ),
    ),
)
