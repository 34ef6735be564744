"""Readers cut off anywhere, who come back to another replica over any transport, while replicas die."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import orjson

from foundation.errors import Json
from heavy_agents.events import Event, decode
from routing.wire import event_message, socket_message
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.hardening.insist import insist
from tests.support.process import ServerProcess, free_port
from tests.support.readers import Reader, Replica, Transport
from tests.support.restless import input_of
from tests.support.stubborn import KIND

__all__ = ["FAULT", "begins_silently"]

RUNS, READERS, CUTS_A_READER = 8, 3, 12
MANY = 1_000
WORDS, PAUSE_MS = 100, 20


@dataclass
class Seat:
    """A replica that is killed and comes back with the same address."""

    ground: Ground
    port: int
    life: AsyncExitStack
    server: ServerProcess | None = None

    async def sit(self) -> None:
        # The address of the others, so that a client may hold on to it.
        self.server = await self.life.enter_async_context(self.ground.replica(PORT=str(self.port)))

    async def die(self) -> None:
        """Everything in it is gone at once."""
        self.server = None
        await self.life.aclose()


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a cut before its reader had been told everything; each round kills a replica too."""
    person = await ground.person()
    agents = [await ground.agent(person), await ground.agent(person, kind=KIND)]
    await ground.sql.execute("update switchyard.plans set per_minute = 1000000, per_hour = 1000000")
    seats = [Seat(ground, free_port(), AsyncExitStack()) for _ in range(3 if ground.n >= MANY else 2)]
    kills, transports, cuts = 0, Counter[str](), 0
    try:
        await asyncio.gather(*(seat.sit() for seat in seats))
        while cuts < ground.n:
            readers = await _round(ground, findings, person, agents, seats)
            kills += 1
            hits = [hit for reader in readers for hit in reader.hits]
            cuts += len(hits)
            transports.update(hit.transport.name.lower() for hit in hits)
    finally:
        await asyncio.gather(*(seat.die() for seat in seats))
    findings.hit(cuts)
    findings.figure("kills", kills)
    findings.figure("cut", dict(transports))
    retries = await ground.sql.fetchval("select count(*) from switchyard.events where type = 'retry'")
    findings.figure("retries", retries)
    findings.expect(retries > 0, "no kill has met a run in the middle of a step")


async def _round(
    ground: Ground, findings: Findings, person: UUID, agents: list[UUID], seats: list[Seat]
) -> list[Reader]:
    token = ground.token(person)
    replicas = tuple(Replica(f"http://127.0.0.1:{seat.port}", token) for seat in seats)
    readers: list[Reader] = []
    for number in range(RUNS):
        # Each kind of run on each replica.
        first = number // 2 % len(seats)
        readers += await _begin(ground, [*seats[first:], *seats[:first]], replicas, agents[number % 2], token)
    victim = ground.dice.choice(seats)
    async with asyncio.TaskGroup() as following:
        for reader in readers:
            following.create_task(_read(findings, reader))
        await asyncio.sleep(ground.dice.uniform(0.2, 1.0))
        await victim.die()
        await victim.sit()
    for reader in (each for each in readers if each.has_end):
        await _check(ground, findings, reader)
    return readers


async def _read(findings: Findings, reader: Reader) -> None:
    try:
        await reader.read(cuts=CUTS_A_READER)
    except (AssertionError, TimeoutError) as error:
        findings.violated(f"a reader met what must not be: {type(error).__name__} {str(error)[:100]}")


async def _begin(
    ground: Ground, seats: list[Seat], replicas: tuple[Replica, ...], agent: UUID, token: str
) -> list[Reader]:
    key = f"key-{ground.dice.getrandbits(64)}"
    told: dict[str, Json] = {"words": WORDS, "pause_ms": PAUSE_MS}
    kind = await ground.sql.fetchval("select kind from public.agents where id = $1", agent)
    if kind != KIND:
        told = input_of(ground.dice)
    body: dict[str, Json] = {
        "agentId": str(agent),
        "messages": [{"role": "user", "content": "go"}],
        "input": told,
    }
    clients = [seat.server.client for seat in seats if seat.server is not None]
    authorized = f"Bearer {token}"
    answer, _ = await insist(
        clients,
        "/api/agent/execute",
        body=body,
        idempotency_key=key,
        prefer="respond-async",
        authorization=authorized,
    )
    assert answer.status_code in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, answer.text
    written = orjson.dumps({**body, "stream": True})
    return [
        Reader(
            answer.json()["runId"],
            written,
            key,
            replicas,
            random.Random(ground.dice.random()),  # noqa: S311 - no secret
            may_die=True,
        )
        for _ in range(READERS)
    ]


async def _check(ground: Ground, findings: Findings, reader: Reader) -> None:
    """All of the log, each event once and in order, one ending, and a text without doubles."""
    rows = await ground.sql.fetch(
        "select seq, type, data from switchyard.events where run_id = $1 order by seq", UUID(reader.run_id)
    )
    log = decode([dict(row) for row in rows])
    told = [_sorted(each) for _, each in reader.told]
    findings.expect(told == _expected(reader, log), "a reader was told something else than the log")
    ends = [event.is_terminal for event in log]
    findings.expect(ends == [False] * (len(log) - 1) + [True], "a log has no end, or not as its last event")
    end = orjson.loads(told[-1])
    if end["type"] == "done" or end["type"] == "agent_execution_complete":
        findings.expect(_shown(log) == end["response"], "what is shown is not the answer")


def _expected(reader: Reader, log: list[Event]) -> list[bytes]:
    """The log as each transport names it."""
    transports = [transport for transport, _ in reader.told]
    if len(transports) != len(log):
        return []
    return [
        orjson.dumps(
            (socket_message if transport is Transport.SOCKET else event_message)(UUID(reader.run_id), event),
            option=orjson.OPT_SORT_KEYS,
        )
        for event, transport in zip(log, transports, strict=True)
    ]


def _sorted(told: bytes) -> bytes:
    """`jsonb` keeps the keys of an object in an order of its own."""
    return orjson.dumps(orjson.loads(told), option=orjson.OPT_SORT_KEYS)


def _shown(log: list[Event]) -> str:
    """The text of a person's screen: what a repeated step had said before is taken away."""
    shown: list[tuple[int, str, str]] = []
    for event in log:
        step = str(event.data.get("step"))
        if event.type == "retry":
            after = event.data["discardAfter"]
            assert isinstance(after, int)
            shown = [each for each in shown if each[1] != step or each[0] <= after]
        # The echo agent's other step says what is no answer.
        elif event.type == "chunk" and step != "tell":
            shown.append((event.seq, step, str(event.data["content"])))
    return "".join(content for _, _, content in shown)


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
            sql=rewritten("public.switchyard_events_read", "seq > p_after order", "seq >= p_after order")
            + rewritten("public.switchyard_events_read", "= p_after + e.place", ">= p_after"),
        ),
        Mutation(
            "begins-silently",
            removes="`retry` with `discardAfter` when a step begins again",
            patch=f"{__name__}:begins_silently",
        ),
    ),
)
