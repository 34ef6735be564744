"""SIGKILL at random instants, while people talk to paid agents."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.hardening.chats import opened_chats
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.fleet import Fleet
from tests.hardening.ground import Ground
from tests.hardening.struck import Struck, struck_at

__all__ = ["FAULT"]

PEOPLE, PLACES = 12, 3
# What clients hear between two kills, in messages; a run tells about seventy. So the runs of a slow machine
# are hit as often as those of a quick one.
HEARD = (20, 350)
ALL_AT_ONCE = 1 / 12
# A statement that was sent is with the database by then.
ON_ITS_WAY_S = 0.02
UNDER_WAY = (
    "select pid, query_start from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid() and state = 'active'"
    " and wait_event_type is distinct from 'Client'"
)
# The first replica answers and executes; the others may do one of the two only.
ROLES = ("all", "all", "web", "worker")


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a kill of a process that executed runs, or told somebody of them."""
    phases: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    struck_runs: set[str] = set()
    async with opened_chats(ground, findings, people=PEOPLE, places=PLACES) as (chats, fleet):
        chats.keep_talking()
        while roles.total() < ground.n:
            await chats.hear(ground.dice.uniform(*HEARD))
            for role, struck in await _strike(ground, fleet, most=ground.n - roles.total()):
                roles[role] += 1
                phases.update(each.phase for each in struck)
                struck_runs |= {each.run_id for each in struck}
                # Whoever only answers has somebody who listens: there are more people than doors.
                findings.hit(bool(struck) or role == "web")
        await chats.enough()

    findings.figure("kills", dict(roles))
    findings.figure("runs", len(chats.talks))
    findings.figure("runs_hit", len(struck_runs))
    findings.figure("phases", dict(phases))
    findings.figure("visits", sum(talk.viewers[0].visits for talk in chats.talks))
    await _nothing_is_lost(ground, findings, accepted=len(chats.talks))


async def _strike(ground: Ground, fleet: Fleet, *, most: int) -> list[tuple[str, list[Struck]]]:
    """Kill one, or all; what each executed, by its role.

    They are held while that is looked up, or one could claim a run meanwhile; a claim that is under way in
    the database is waited for.
    """
    dice = ground.dice
    is_for_all = most >= PLACES and dice.random() < ALL_AT_ONCE
    if is_for_all:
        await fleet.until_all()
    victims = fleet.alive if is_for_all else [dice.choice(fleet.alive)] if fleet.alive else []
    for place in victims:
        place.hold()
    await _until_answered(ground)
    found = {place.number: await struck_at(ground.sql, place) for place in victims}
    # A third loss in a row would end a run, as it should.
    if any(each.is_on_last_attempt for struck in found.values() for each in struck):
        for place in victims:
            place.let_go()
        return []
    await fleet.kill(victims)
    told = [(place.role, found[place.number]) for place in victims]
    for place in victims:
        place.role = dice.choice(ROLES) if place.number else "all"
    if most > len(victims) or not any(place.role == "all" for place in fleet.alive):
        fleet.start_again(*victims)
    return told


async def _until_answered(ground: Ground) -> None:
    """Return once the database has done what it was doing, a claim of a process that is held among it.

    Not what waits for such a process to take a long answer.
    """
    await asyncio.sleep(ON_ITS_WAY_S)
    under_way = {tuple(row) for row in await ground.sql.fetch(UNDER_WAY)}
    while under_way:
        await asyncio.sleep(ON_ITS_WAY_S)
        under_way &= {tuple(row) for row in await ground.sql.fetch(UNDER_WAY)}


async def _nothing_is_lost(ground: Ground, findings: Findings, *, accepted: int) -> None:
    told = await ground.sql.fetch(
        "select concat_ws(' ', status, code) as ended, count(*) from switchyard.runs group by 1"
    )
    counts = {row["ended"]: row["count"] for row in told}
    findings.expect(counts == {"succeeded": accepted}, f"of {accepted} accepted runs there are {counts}")


FAULT = Fault(
    name="kill9",
    promise="SIGKILL at random instants under paid runs: 0 lost runs, 0 lost or double charges, 0 open holds",
    full_n=1_000,
    small_n=4,
    perform=perform,
    mutations=(
        Mutation(
            "unread-journal",
            removes="reading a step's result instead of doing it again",
            patch="tests.hardening.mutants:forget_steps",
        ),
        Mutation(
            "silent-retries",
            removes="the events that take back the text of a step that is begun again",
            patch="tests.hardening.mutants:hide_retries",
        ),
        Mutation(
            "forgotten-usage",
            removes="counting what earlier claims have used",
            patch="tests.hardening.mutants:forget_usage",
        ),
        Mutation(
            "no-second-attempt",
            removes="putting back the runs of a lost worker",
            sql=rewritten(
                "switchyard.run_reap",
                "c_max_attempts constant integer := 3",
                "c_max_attempts constant integer := 1",
            ),
        ),
    ),
)
