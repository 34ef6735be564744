"""Readers cut off anywhere, who come back to another replica over any transport, while replicas die."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

import orjson

from foundation.errors import Json
from heavy_agents.events import decode
from tests.hardening.fates import Fate, befall
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.hardening.insist import insist
from tests.hardening.retold import Places, check_told
from tests.hardening.seats import Seat, alarms, seated
from tests.support.readers import Reader
from tests.support.restless import CHAT_REPLY, input_of
from tests.support.stubborn import KIND

__all__ = ["FAULT", "begins_silently"]

READERS, CUTS_A_READER = 3, 12
# The runs of a round: who executes each, and what befalls it besides what befalls its replica.
RUNS = (
    (KIND, Fate.NONE),
    (KIND, Fate.NONE),
    ("chat", Fate.NONE),
    ("chat", Fate.NONE),
    (KIND, Fate.LOST),
    (KIND, Fate.CANCELLED),
    ("echo", Fate.NONE),
    ("echo", Fate.FAILS),
)
MANY = 1_000
# Rounds beyond those for N, until something was cut off at every kind of place.
MOST_MORE = 5
WORDS, PAUSE_MS = 100, 20
QUIET_WITHIN_S, LOOK_S = 30.0, 0.02
# What a visit is told later than this was not there when it began.
LIVE_AFTER_S = 0.2
# Whoever is killed has somebody who hears what happens there, if anybody does so within this.
HEARD_WITHIN_S, KILLED_WITHIN_S = 8.0, 0.4


@dataclass(frozen=True)
class Stage:
    """Somebody who has an agent of each kind, and the replicas."""

    ground: Ground
    findings: Findings
    seats: list[Seat]
    agents: dict[str, UUID]
    lost: list[UUID] = field(default_factory=list)  # runs whose lease was ended


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a cut before its reader had been told everything; each round kills a replica too."""
    person = await ground.person()
    agents = {kind: await ground.agent(person, kind=kind) for kind in (KIND, "echo", "chat")}
    await ground.sql.execute("update switchyard.plans set per_minute = 1000000, per_hour = 1000000")
    await ground.model.play({"reply": CHAT_REPLY})
    token, places, rounds, more = ground.token(person), Places(), 0, 0
    async with seated(ground, token=token, seats=3 if ground.n >= MANY else 2) as seats:
        stage = Stage(ground, findings, seats, agents)
        always = await seats[0].tasks()
        # Readers who meet what must not be do not come back, and there would be no end of rounds.
        while not findings.violations and (
            places.hits < ground.n or (await _missing(stage, places) and more < MOST_MORE)
        ):
            more += places.hits >= ground.n
            for reader in await _round(stage):
                places.add(reader.hits)
            rounds += 1
        await asyncio.gather(*(_become_quiet(findings, seat, always) for seat in seats))
    findings.hit(places.hits)
    findings.figure("kills", rounds)
    findings.figure("cut", dict(places.counted))
    if not findings.violations:
        for what in await _missing(stage, places):
            findings.violated(f"{rounds} rounds were without {what}")
    for line in alarms(ground):
        findings.violated(f"a replica has written {line[:300]}")
    await _check_entries(stage)


async def _round(stage: Stage) -> list[Reader]:
    victim = stage.ground.dice.choice(stage.seats)
    runs = [await _begin(stage, number, victim=victim) for number in range(len(RUNS))]
    readers = [reader for run in runs for reader in run]
    clients = [seat.client for seat in stage.seats]
    async with asyncio.TaskGroup() as following:
        for reader in readers:
            following.create_task(_read(stage.findings, reader))
        for (_, fate), (reader, *_) in zip(RUNS, runs, strict=True):
            following.create_task(befall(fate, reader.run_id, ground=stage.ground, clients=clients))
        there = [run for number, run in enumerate(runs) if _order(stage.seats, number, victim)[0] is victim]
        await _until_told_live(victim, [reader for run in there for reader in run])
        await asyncio.sleep(stage.ground.dice.uniform(0, KILLED_WITHIN_S))
        await victim.die()
        await victim.sit()
    for reader in (each for each in readers if each.has_end):
        rows = await stage.ground.sql.fetch(
            "select seq, type, data from switchyard.events where run_id = $1 order by seq",
            UUID(reader.run_id),
        )
        check_told(stage.findings, reader, decode([dict(row) for row in rows]))
    return readers


async def _until_told_live(victim: Seat, readers: list[Reader]) -> None:
    """Return once one of them is told by the victim what happens there; or after a while, if nobody is."""
    ends_at_s = time.monotonic() + HEARD_WITHIN_S
    first: dict[tuple[int, int], tuple[float, int]] = {}
    while (now_s := time.monotonic()) < ends_at_s and not all(reader.has_end for reader in readers):
        for number, reader in enumerate(readers):
            if heard := reader.heard_from(victim.replica):
                at_s, before = first.setdefault((number, reader.visits), (now_s, heard))
                if heard > before and now_s > at_s + LIVE_AFTER_S:
                    return
        await asyncio.sleep(LOOK_S)


async def _begin(stage: Stage, number: int, *, victim: Seat) -> list[Reader]:
    """A run, and those who will follow it."""
    (kind, fate), dice = RUNS[number], stage.ground.dice
    key = f"key-{dice.getrandbits(64)}"
    body: dict[str, Json] = {
        "agentId": str(stage.agents[kind]),
        "messages": [{"role": "user", "content": "go"}],
        "input": _input(kind, fate, dice),
    }
    answer, _ = await insist(
        [seat.client for seat in _order(stage.seats, number, victim)],
        "/api/agent/execute",
        body=body,
        idempotency_key=key,
        prefer="respond-async",
    )
    assert answer.status_code in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, answer.text
    run_id, written = str(answer.json()["runId"]), orjson.dumps({**body, "stream": True})
    if fate is Fate.LOST:
        stage.lost.append(UUID(run_id))
    replicas = tuple(seat.replica for seat in stage.seats)
    return [
        Reader(run_id, written, key, replicas, random.Random(dice.random()))  # noqa: S311 - no secret
        for _ in range(READERS)
    ]


def _order(seats: list[Seat], number: int, victim: Seat) -> list[Seat]:
    """Whom to ask first: each kind of run is on each replica, and one whose lease ends where nobody dies."""
    if RUNS[number][1] is Fate.LOST:
        return [seat for seat in seats if seat is not victim]
    first = number % len(seats)
    return [*seats[first:], *seats[:first]]


def _input(kind: str, fate: Fate, dice: random.Random) -> dict[str, Json]:
    told: dict[str, Json] = {}
    if kind == KIND:
        told = {"words": WORDS, "pause_ms": PAUSE_MS}
    elif kind == "echo":
        told = input_of(dice)
    return told | ({"fail": "as it was told"} if fate is Fate.FAILS else {})


async def _read(findings: Findings, reader: Reader) -> None:
    try:
        await reader.read(cuts=CUTS_A_READER)
    except Exception as error:
        # What a parser has called, and has failed, is behind the parser's own error.
        findings.violated(f"a reader met what must not be: {repr(error.__context__ or error)[:100]}")


async def _become_quiet(findings: Findings, seat: Seat, always: Counter[str]) -> None:
    """Nobody reads any more, so that a replica has no reader left, and no task that it had not before."""
    ends_at_s = time.monotonic() + QUIET_WITHIN_S
    while (left := await seat.left(but=always)) != (0, {}):
        if time.monotonic() > ends_at_s:
            findings.violated(f"readers and tasks that nobody needs are left: {left}")
            return
        await asyncio.sleep(LOOK_S)


async def _missing(stage: Stage, places: Places) -> list[str]:
    """What has not happened yet, and is to happen once at least."""
    sql = stage.ground.sql
    ends = {row["status"] for row in await sql.fetch("select distinct status from switchyard.runs")}
    retries = await sql.fetch(
        "select run_id = any($1::uuid[]) as is_lost from switchyard.events where type = 'retry'", stage.lost
    )
    after_loss = sum(row["is_lost"] for row in retries)
    stage.findings.figure("retries", len(retries) - after_loss)
    stage.findings.figure("retries_of_lost_leases", after_loss)
    return [
        *(f"a cut at {name}" for name in places.missing),
        *(
            f"a run that has {status}"
            for status in ("succeeded", "failed", "cancelled")
            if status not in ends
        ),
        *["a kill in the middle of a step"] * (len(retries) == after_loss),
        *["the end of a lease in the middle of a step"] * (after_loss == 0),
    ]


async def _check_entries(stage: Stage) -> None:
    """Nobody's going or coming has touched a run: one hold and one end of it each, whatever befell it."""
    entries = await stage.ground.sql.fetch(
        "select array_agg(l.kind order by l.id) as kinds from switchyard.runs r"
        " left join switchyard.ledger l on l.run_id = r.id group by r.id"
    )
    for kinds in {tuple(row["kinds"]) for row in entries} - {("hold", "settle"), ("hold", "release")}:
        stage.findings.violated(f"a run has the entries {kinds}")


def begins_silently() -> None:
    """Mutation: a step that begins again does not say so."""
    from heavy_agents.runs.journal import Journal

    def never(self: Journal, name: str) -> int | None:
        del self, name
        return None

    Journal.began_before = never  # type: ignore[method-assign]


FAULT = Fault(
    name="resume",
    promise="random disconnects, WS and SSE mixed, another replica each time, some killed: one transcript",
    full_n=10_000,
    small_n=40,
    perform=perform,
    mutations=(
        Mutation(
            "repeats-the-cursor",
            removes="that reading begins after the number which was seen",
            sql=rewritten("public.switchyard_events_page", "n.seq > p_after", "n.seq >= p_after")
            + rewritten("public.switchyard_events_page", "exit when e.seq <> v_seq + 1;", "")
            # A page of one large event that is repeated would be read for ever.
            + rewritten(
                "public.switchyard_events_page",
                ">= p_bytes;",
                ">= p_bytes and (v_seq > p_after or p_after = 0);",
            ),
        ),
        Mutation(
            "told-before-stored",
            removes="that an event is durable before any client sees it",
            patch="tests.hardening.mutants:tell_before_it_is_stored",
        ),
        Mutation(
            "begins-silently",
            removes="`retry` with `discardAfter` when a step begins again",
            patch=f"{__name__}:begins_silently",
        ),
    ),
)
