"""SIGTERM while people talk to paid agents, over streams and sockets: what is under way goes on elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from uuid import UUID

from tests.hardening.chats import Chats, opened_chats
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.fleet import Fleet, Place
from tests.hardening.ground import Ground
from tests.hardening.struck import Struck, struck_at
from tests.support.viewer import Heard

__all__ = ["FAULT"]

FULL_N = 200
PEOPLE, PLACES = 10, 2
DRAINS_S = (25, 3)
HEARD = (20, 200)
# Beyond its own deadline a process would have to be stopped as a whole.
SLACK_S = 30.0


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a process that executed runs when it was told to go."""
    phases: Counter[str] = Counter()
    left_s: dict[int, list[float]] = {drain_s: [] for drain_s in DRAINS_S}
    struck: dict[str, float] = {}
    async with opened_chats(ground, findings, people=PEOPLE, places=PLACES, DRAIN_SECONDS="25") as (
        chats,
        fleet,
    ):
        drains_s = dict.fromkeys(range(PLACES), 25)
        chats.keep_talking()
        for number in range(ground.n):
            await fleet.until_all()
            await chats.hear(ground.dice.uniform(*HEARD))
            place = ground.dice.choice(fleet.places)
            told_at_s, found = await _tell(ground, findings, fleet, place, drains_s[place.number])
            left_s[drains_s[place.number]].append(time.monotonic() - told_at_s)
            findings.hit(bool(found))
            phases.update(each.phase for each in found)
            struck |= {each.run_id: told_at_s for each in found}
            drains_s[place.number] = ground.dice.choice(DRAINS_S)
            if number < ground.n - 1:
                fleet.start_again(place, DRAIN_SECONDS=str(drains_s[place.number]))
        await chats.enough()
    findings.figure("phases", dict(phases))
    findings.figure("runs_handed_over", len(struck))
    _tell_times(ground, findings, chats, struck=struck, left_s=left_s)
    await _no_attempt_is_lost(ground, findings, struck)


async def _tell(
    ground: Ground, findings: Findings, fleet: Fleet, place: Place, drain_s: int
) -> tuple[float, list[Struck]]:
    """Tell it to go, and see that it does, and leaves nothing that only the end of a lease would free."""
    server, place.server = place.server, None
    assert server is not None
    found = await struck_at(ground.sql, place)
    told_at_s = time.monotonic()
    server.process.terminate()
    code = await asyncio.wait_for(server.process.wait(), drain_s + SLACK_S)
    findings.expect(code == 0, f"a process ended with {code} when it was told to go within {drain_s} s")
    kept = await struck_at(ground.sql, place)
    findings.expect(not kept, "a process went and kept its runs")
    await fleet.clear(place)
    return told_at_s, found


def _tell_times(
    ground: Ground,
    findings: Findings,
    chats: Chats,
    *,
    struck: dict[str, float],
    left_s: dict[int, list[float]],
) -> None:
    for drain_s, each in left_s.items():
        findings.spread(f"left_of_{drain_s}", each)
    gaps = [_gap_s(talk.viewers[0].heard, struck.get(talk.run_id)) for talk in chats.talks]
    findings.spread("resumed", [gap for gap in gaps if gap is not None])
    findings.figure("retries", sum(each["type"] == "retry" for talk in chats.talks for each in talk.seen))
    findings.figure("sent_away", sum(talk.viewers[0].sent_away for talk in chats.talks))
    if ground.n >= FULL_N:
        findings.in_time("resumed", p99=2.0)


def _gap_s(heard: list[Heard], told_at_s: float | None) -> float | None:
    """From the last event before to the first after, where a `retry` says that another has gone on."""
    if told_at_s is None:
        return None
    for before, after in pairwise(heard):
        if after.message["type"] == "retry" and after.at_s > told_at_s:
            return after.at_s - before.at_s
    return None


async def _no_attempt_is_lost(ground: Ground, findings: Findings, struck: dict[str, float]) -> None:
    rows = await ground.sql.fetch(
        "select id, status from switchyard.runs where id = any($1)", [UUID(each) for each in struck]
    )
    ended = Counter(row["status"] for row in rows)
    findings.expect(set(ended) <= {"succeeded"}, f"runs of processes that were told to go: {dict(ended)}")


FAULT = Fault(
    name="sigterm",
    promise="SIGTERM, with 25 and 3 s to go: gone before that, no run ended by it, gone on with within 2 s",
    full_n=FULL_N,
    small_n=3,
    perform=perform,
    mutations=(
        Mutation(
            "kept-runs",
            removes="giving runs back at a shutdown",
            patch="tests.hardening.mutants:keep_runs",
        ),
        Mutation(
            "shutdown-cancels",
            removes="the difference between a shutdown and a cancelling",
            patch="tests.hardening.mutants:cancel_at_shutdown",
        ),
        Mutation(
            "silent-retries",
            removes="the events that take back the text of a step that is begun again",
            patch="tests.hardening.mutants:hide_retries",
        ),
    ),
)
