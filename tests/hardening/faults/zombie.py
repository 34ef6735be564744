"""Processes that are frozen until others have taken their runs, and then go on as if nothing had been."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from http import HTTPStatus

import httpx2

from tests.hardening.chats import Chats, Person, Talk, opened_chats
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.fleet import Fleet, Place
from tests.hardening.ground import Ground
from tests.hardening.struck import CALLING, struck_at

__all__ = ["FAULT"]

AT_ONCE = 24
# A lease, and generously what comes after it.
TAKEN_WITHIN_S = 45.0
# Woken while the others are at any age of the runs they have taken.
AWAKE_AFTER_S = (0.0, 2.5)
IDLE_WITHIN_S = 30.0
LOOK_S = 0.02
# What clients hear, two of each run, before the next one begins.
HEARD = (0, 30)


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a run that was taken from a frozen process, which was woken while it or others went on."""
    phases: Counter[str] = Counter()
    async with opened_chats(ground, findings, people=min(AT_ONCE, ground.n), places=2) as (chats, fleet):
        while findings.hits < ground.n and not findings.violations:
            await _freeze_once(ground, findings, chats, fleet, phases)
    findings.figure("phases", dict(phases))
    findings.figure("runs", len(chats.talks))


async def _freeze_once(
    ground: Ground, findings: Findings, chats: Chats, fleet: Fleet, phases: Counter[str]
) -> None:
    frozen = ground.dice.choice(fleet.places)
    people = chats.people[: ground.n - findings.hits]
    talks = [await _begin(ground, chats, person, frozen) for person in people]
    server = frozen.server
    assert server is not None
    frozen.hold()
    found = await struck_at(ground.sql, frozen)
    phases.update(each.phase for each in found)
    chats.slept_in_tools |= {each.run_id for each in found if each.phase == CALLING}
    await _until_taken(ground, frozen)
    await asyncio.sleep(ground.dice.uniform(*AWAKE_AFTER_S))
    going_on = await ground.sql.fetchval("select count(*) from switchyard.runs where status = 'running'")
    server.resume()
    findings.hit(len(found))
    findings.figure("woken_into", int(going_on))
    await asyncio.gather(*(chats.see_through(talk) for talk in talks))
    findings.expect(
        await _is_idle(frozen), f"a woken process executes what it has lost, {IDLE_WITHIN_S} s later"
    )
    frozen.frozen = False


async def _begin(ground: Ground, chats: Chats, person: Person, place: Place) -> Talk:
    """A run at that place, a client that stays there, and one that does not."""
    talk = await chats.begin(person, at=place)

    async def here(_visit: int) -> str:
        return place.url

    chats.watch(talk, chats.viewer(talk, here))
    # So that those that have begun before are of any age when it is frozen, also on a slow machine.
    await chats.hear(ground.dice.uniform(*HEARD))
    return talk


async def _until_taken(ground: Ground, frozen: Place) -> None:
    """Return once others have the leases of all its runs."""
    async with asyncio.timeout(TAKEN_WITHIN_S):
        while await struck_at(ground.sql, frozen):
            await asyncio.sleep(LOOK_S)


async def _is_idle(place: Place) -> bool:
    """Whether it has ended its executions by itself."""
    assert place.server is not None
    ends_at_s = time.monotonic() + IDLE_WITHIN_S
    while time.monotonic() < ends_at_s:
        try:
            answer = await place.server.client.get("/api/agent/health")
        except httpx2.TransportError:
            return False
        if answer.status_code == HTTPStatus.OK and answer.json()["capacity"]["active"] == 0:
            return True
        await asyncio.sleep(LOOK_S)
    return False


UNFENCED = "tests.hardening.mutants:believe_in_lost_leases"

FAULT = Fault(
    name="zombie",
    promise="SIGSTOP past the lease, then SIGCONT: 0 stale writes, events and charges",
    full_n=200,
    small_n=10,
    perform=perform,
    mutations=(
        Mutation(
            "unfenced-events",
            removes="the token at storing events, and the process's own knowledge that its lease is over",
            sql=rewritten("public.switchyard_events_append", "and r.lease_token = a.token", ""),
            patch=UNFENCED,
        ),
        Mutation(
            "unfenced-steps",
            removes="the token at journaling steps, and the process's own knowledge that its lease is over",
            sql=rewritten("public.switchyard_steps_save", "and lease_token = p_token", ""),
            patch=UNFENCED,
        ),
        Mutation(
            "unfenced-end",
            removes="the token at the end of a run, and the process's own knowledge that its lease is over",
            sql=rewritten("public.switchyard_runs_finish", "and lease_token = p_token", ""),
            patch=UNFENCED,
        ),
    ),
)
