"""Readers cut off at any place, who come back over any transport to either of two replicas: one transcript.

`SWITCHYARD_CUTS` is how many connections are cut, `SWITCHYARD_SEED` where that comes from.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count, islice
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from structlog.testing import capture_logs

from heavy_agents.events import Event, decode
from routing.wire import event_message, socket_message
from tests.support.cuts import How, When, is_in_letter
from tests.support.model import ModelServer, serve_model
from tests.support.readers import Hit, Reader, Replica, Transport
from tests.support.restless import CHAT_REPLY, input_of
from tests.support.server import Person, TestServer, running_server, until
from tests.support.tables import Tables

CUTS = int(os.environ.get("SWITCHYARD_CUTS", "500"))
SEED = int(os.environ.get("SWITCHYARD_SEED", "1126"))
# Runs at the same time, readers of each, and how often each of them is cut at most.
RUNS, READERS, CUTS_A_READER = 6, 2, 8
MODEL_KEY = "the-model-key-of-these-tests"


@dataclass(frozen=True)
class Stage:
    """Two replicas on one database, and one user of both."""

    servers: tuple[TestServer, TestServer]
    person: Person
    chat_id: UUID
    replicas: tuple[Replica, ...]
    # Its one connection takes one query at a time.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with serve_model({"reply": CHAT_REPLY}) as model, AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(running_server(database_url, **_settings(model))) for _ in "ab"
        ]
        person = await stack.enter_async_context(first.person(balance=1_000_000))
        chat_id = await first.sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, price)"
            " values ($1, 'Chat', 'chat', true, '{\"flat\": 1}'::jsonb) returning id",
            person.id,
        )
        replicas = tuple(Replica(each.url, each.forge.token(person.id)) for each in (first, second))
        yield Stage((first, second), person, chat_id, replicas)


def _settings(model: ModelServer) -> dict[str, object]:
    return {"openai_api_key": MODEL_KEY, "openai_base_url": model.url, "sockets_per_user": 1000}


# Any: options of the client.
async def ask(stage: Stage, path: str, **options: Any) -> httpx2.Response:
    """Ask again if an idle connection was closed just when it was used."""
    try:
        return await stage.person.client.post(path, **options)
    except httpx2.TransportError:
        return await stage.person.client.post(path, **options)


class Fate(Enum):
    """What befalls a run while its readers are cut off: nothing, a cancel, or the end of its lease."""

    NONE = auto()
    CANCELLED = auto()
    LOST = auto()


def fates() -> Iterator[Fate]:
    """A loss takes seconds to be noticed, so there are few."""
    for number in count():
        yield Fate.LOST if number % 20 == 1 else Fate.CANCELLED if number % 6 == 2 else Fate.NONE


async def begin(stage: Stage, fate: Fate, dice: random.Random) -> list[Reader]:
    """A run that asks a model or says anything else, and may fail; and those who will follow it."""
    asks_model = fate is Fate.NONE and dice.random() < 0.25
    key = f"key-{dice.getrandbits(64)}"
    told = {} if asks_model else input_of(dice)
    if fate is not Fate.NONE:
        told["halt"] = key
    agent_id = stage.chat_id if asks_model else stage.person.agent_id
    body = stage.person.body(told, agentId=str(agent_id), stream=True)
    headers = {"Prefer": "respond-async", "Idempotency-Key": key}
    answer = await ask(stage, "/api/agent/execute", json=body | {"stream": False}, headers=headers)
    assert answer.status_code in {200, 202}, answer.text
    run_id, written = str(answer.json()["runId"]), orjson.dumps(body)
    return [
        Reader(run_id, written, key, stage.replicas, random.Random(dice.random()))  # noqa: S311 - no secret
        for _ in range(READERS)
    ]


async def disturb(stage: Stage, reader: Reader, fate: Fate, dice: random.Random) -> None:
    """A run that is to be disturbed waits in the middle of a step until it was."""
    if fate is Fate.NONE:
        return
    await asyncio.sleep(dice.uniform(0.05, 0.5))
    if fate is Fate.CANCELLED:
        await ask(stage, f"/api/runs/{reader.run_id}/cancel")
    else:
        await until(lambda: is_begun_again(stage, reader.run_id), within_s=30)
    for server in stage.servers:
        server.echo.gates[reader.key].set()


async def is_begun_again(stage: Stage, run_id: str) -> bool:
    """End its lease once more: a heartbeat may have renewed it before anybody saw that it had ended."""
    async with stage.turn:
        epoch: int = await stage.servers[0].sql.fetchval(
            "select epoch from switchyard.runs where id = $1", UUID(run_id)
        )
        if epoch == 1:
            await Tables(stage.servers[0].sql).expire(run_id)
    return epoch > 1


async def log_of(stage: Stage, run_id: str) -> list[Event]:
    async with stage.turn:
        rows = await stage.servers[0].sql.fetch(
            "select seq, type, data from switchyard.events where run_id = $1 order by seq", UUID(run_id)
        )
    return decode([dict(row) for row in rows])


def expected(run_id: str, log: list[Event], transports: list[Transport]) -> list[bytes]:
    """The log as each transport names it."""
    return [
        orjson.dumps(
            (socket_message if transport is Transport.SOCKET else event_message)(UUID(run_id), event),
            option=orjson.OPT_SORT_KEYS,
        )
        for event, transport in zip(log, transports, strict=True)
    ]


def sorted_keys(told: bytes) -> bytes:
    """`jsonb` keeps the keys of an object in an order of its own."""
    return orjson.dumps(orjson.loads(told), option=orjson.OPT_SORT_KEYS)


async def check(stage: Stage, reader: Reader) -> None:
    """All of the log, each event once and in order, and one ending that is the last."""
    log = await log_of(stage, reader.run_id)
    told = [sorted_keys(each) for _, each in reader.told]
    assert [orjson.loads(each)["seq"] for each in told] == list(range(1, len(log) + 1))
    assert told == expected(reader.run_id, log, [transport for transport, _ in reader.told])
    assert [event.is_terminal for event in log] == [False] * (len(log) - 1) + [True]


async def follow_cut(stage: Stage, fate: Fate, dice: random.Random) -> list[Hit]:
    """One run, its readers, and what befalls it."""
    readers = await begin(stage, fate, dice)
    await asyncio.gather(
        disturb(stage, readers[0], fate, dice), *(reader.read(cuts=CUTS_A_READER) for reader in readers)
    )
    for reader in readers:
        await check(stage, reader)
    return [hit for reader in readers for hit in reader.hits]


def busy(server: TestServer) -> tuple[float, ...]:
    registry = server.backend.app.state.rooms.metrics.registry
    return tuple(
        registry.get_sample_value("heavy_agent_readers", {"transport": transport}) or 0
        for transport in ("sse", "ws")
    )


def tasks() -> Counter[str]:
    return Counter(each.get_coro().__qualname__ for each in asyncio.all_tasks())  # type: ignore[union-attr]


async def test_readers_cut_off_anywhere_come_back_to_the_same_transcript(stage: Stage) -> None:
    dice, befalling, hits = random.Random(SEED), fates(), list[Hit]()  # noqa: S311 - no secret
    print(f"seed={SEED} cuts={CUTS}")  # noqa: T201 - to repeat a failure
    await follow_cut(stage, Fate.NONE, dice)
    before = tasks()

    with capture_logs() as logged:
        while len(hits) < CUTS:
            rounds = await asyncio.gather(
                *(
                    follow_cut(stage, fate, random.Random(dice.random()))  # noqa: S311 - no secret
                    for fate in islice(befalling, RUNS)
                )
            )
            hits += [hit for each in rounds for hit in each]

    check_spread(hits)
    # Some of the agents are told to fail, which is reported; nothing else may be.
    alarms = [each for each in logged if each["log_level"] in {"error", "critical"}]
    assert [each for each in alarms if each["event"] != "agent_failed"] == []
    await until(lambda: is_quiet(stage, before), within_s=20)
    await check_runs(stage)


def check_spread(hits: list[Hit]) -> None:
    when = Counter(hit.cut.when for hit in hits)
    how = Counter(hit.cut.how for hit in hits)
    over = Counter(hit.transport for hit in hits)
    in_letter = sum(is_in_letter(hit.pending) for hit in hits)
    in_message = sum(bool(hit.pending) for hit in hits)
    for counted in (when, how, over):
        print({each.name: count for each, count in counted.items()})  # noqa: T201 - what was tried
    print(f"hits={len(hits)} inside a message={in_message} inside a letter={in_letter}")  # noqa: T201
    assert len(hits) >= CUTS
    assert (set(when), set(how), set(over)) == (set(When), set(How), set(Transport))
    assert min(in_letter, in_message) > 0


async def is_quiet(stage: Stage, before: Counter[str]) -> bool:
    """Whether no reader is left anywhere, and no task that was not there before the cuts."""
    readers = [busy(server) for server in stage.servers]
    return readers == [(0, 0), (0, 0)] and tasks() - before == Counter()


async def check_runs(stage: Stage) -> None:
    """Nobody's going or coming has touched a run: one hold and one charge each, and nothing for the audit."""
    sql = stage.servers[0].sql
    entries = await sql.fetch(
        "select array_agg(l.kind order by l.id) as kinds from switchyard.runs r"
        " join switchyard.ledger l on l.run_id = r.id group by r.id"
    )
    ends = Counter(row["status"] for row in await sql.fetch("select status from switchyard.runs"))
    retries = await sql.fetchval("select count(*) from switchyard.events where type = 'retry'")
    print(f"{dict(ends)} retries={retries}")  # noqa: T201 - what was tried
    assert {tuple(row["kinds"]) for row in entries} <= {("hold", "settle"), ("hold", "release")}
    assert len(entries) == ends.total()
    assert set(ends) == {"succeeded", "failed", "cancelled"}
    assert retries > 0
    assert await sql.fetchval("select public.switchyard_audit()") == []
