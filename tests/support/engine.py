"""An engine in this process on a real database, with agents a test writes as functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg

from foundation.clock import SystemClock
from foundation.db import PoolDatabase
from foundation.errors import Json
from foundation.lifecycle import Lifecycle
from foundation.settings import CreditsOwner
from foundation.telemetry import Metrics
from foundation.workers import WorkerPool
from heavy_agents.events import Event, EventLog, Follower, Hub
from heavy_agents.runs import (
    BEATS_AT_ONCE,
    Answer,
    Context,
    Engine,
    Floor,
    Message,
    Order,
    RunRequest,
    Runs,
    Submitter,
)

__all__ = ["Bench", "Script", "Scripted", "bench", "make_agent", "make_user"]

EXPIRE = (
    "update switchyard.runs set lease_until = now() - interval '1 second'"
    " where id = $1 and lease_token = $2 and status = 'running' returning true"
)

Script = Callable[[Context], Awaitable[Answer]]


@dataclass
class Scripted:
    """An agent that is one function; `calls` counts how often it was begun."""

    script: Script
    kind: str = "scripted"
    calls: int = 0

    def check(self, request: RunRequest) -> None:
        """Takes any input."""

    async def run(self, ctx: Context) -> Answer:
        self.calls += 1
        return await self.script(ctx)


async def make_user(url: str, *, credits_: int = 100, plan: str = "enterprise") -> UUID:
    user = uuid4()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("insert into auth.users (id) values ($1)", user)
        await connection.execute(
            "insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, $3)",
            user,
            credits_,
            plan,
        )
    finally:
        await connection.close()
    return user


async def make_agent(
    url: str, owner: UUID, *, kind: str = "scripted", price: str = '{"flat": 1}', config: str = "{}"
) -> UUID:
    connection = await asyncpg.connect(url)
    try:
        made: UUID = await connection.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, price, config)"
            " values ($1, 'Test', $2, true, $3::text::jsonb, $4::text::jsonb) returning id",
            owner,
            kind,
            price,
            config,
        )
    finally:
        await connection.close()
    return made


@dataclass
class Bench:
    """A started engine and what a test asks it."""

    runs: Runs
    engine: Engine
    database: PoolDatabase
    lifecycle: Lifecycle
    metrics: Metrics
    url: str
    user: UUID = field(default_factory=uuid4)

    def counted(self, name: str, **labels: str) -> float | None:
        """What the metrics of this engine say; None for a series there is not."""
        return self.metrics.registry.get_sample_value(name, labels)

    async def submit(
        self, agent_id: UUID, *, input_: dict[str, Json] | None = None, key: str | None = None
    ) -> UUID:
        order = Order(
            self.user, agent_id, (Message("user", "go"),), input_ or {}, idempotency_key=key, size_bytes=0
        )
        return UUID((await self.runs.submit(order)).run["run_id"])

    async def events(self, run_id: UUID, *, after: int = 0) -> list[Event]:
        """All events after a number, until the run has ended, which it must within 20 s."""
        async with asyncio.timeout(20):
            batches = [batch async for batch in self.runs.follow(self.user, run_id, after=after)]
        return [event for batch in batches for event in batch]

    async def lose(self, run_id: UUID) -> None:
        """Let the lease of a run end, as if its worker had been silent, until the reaper has seen it."""
        connection = await asyncpg.connect(self.url)
        try:
            token = await connection.fetchval("select lease_token from switchyard.runs where id = $1", run_id)
            async with asyncio.timeout(15):
                # A heartbeat may renew it before the reaper comes, so once is not enough.
                while await connection.fetchval(EXPIRE, run_id, token):
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def lose_three_times(self, run_id: UUID, agent: Scripted) -> None:
        """Each time when the agent has begun it again."""
        for claims in (1, 2, 3):
            async with asyncio.timeout(15):
                while agent.calls < claims:
                    await asyncio.sleep(0.02)
            await self.lose(run_id)


@asynccontextmanager
async def bench(url: str, *agents: Scripted, slots: int = 8, credits_: int = 100) -> AsyncIterator[Bench]:
    """An engine that runs `agents`, and a user with credits."""
    clock, metrics = SystemClock(), Metrics()
    database, leases = PoolDatabase(url, size=5), PoolDatabase(url, size=1 + BEATS_AT_ONCE)
    workers = WorkerPool(processes=1, memory_mb=512, allowed=("tests.support.jobs",))
    hub = Hub(database)
    events = EventLog(leases, hub=hub, metrics=metrics)
    floor = Floor(
        db=database, lease_db=leases, events=events, hub=hub, compute=workers, metrics=metrics, clock=clock
    )
    engine = Engine(
        floor, {agent.kind: agent for agent in agents}, worker=str(uuid4()), slots=slots, retention_days=30
    )
    submitter = Submitter(database, engine, clock=clock, credits_owner=CreditsOwner.BACKEND)
    runs = Runs(database, engine=engine, submitter=submitter, follower=Follower(database, hub))
    lifecycle = Lifecycle([database, leases, workers, hub, events, engine])
    user = await make_user(url, credits_=credits_)
    await lifecycle.start()
    try:
        yield Bench(runs, engine, database, lifecycle, metrics, url, user)
    finally:
        await lifecycle.stop()
