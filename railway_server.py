"""The entry point and composition root: settings in, a backend out. Knows every room, holds no logic."""

from __future__ import annotations

import commands


def _build(settings: Settings) -> Backend:
    """By name, so that the rooms are imported by the verbs that need them."""
    from railway_server import build

    return build(settings)


if __name__ == "__main__":
    commands.main(_build)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from foundation.clock import Clock, GuidedClock
from foundation.db import DatabaseWatchdog, ServedDatabase, database_of
from foundation.hints import Hints, hints_of
from foundation.identity import ApiKeys, Authenticator, run_tokens_of
from foundation.ids import new_worker_id
from foundation.lifecycle import Lifecycle, Service
from foundation.limits import AddressLimit, RequestLimit, RequestLimits, SharedCounts
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Observers, Pulse, Watchdog, observers_of
from foundation.workers import WorkerPool
from heavy_agents.agents import Equipment, Forwarding, Kind, equip, kinds
from heavy_agents.edge import Edge, Expiry
from heavy_agents.events import EventLog, Follower, Hub
from heavy_agents.llm import Model, configured_model
from heavy_agents.runs import (
    BEATS_AT_ONCE,
    MIGRATE,
    PUSH,
    Agent,
    Announcement,
    Backlog,
    DatabaseCheck,
    Engine,
    Floor,
    Hearing,
    Presence,
    Runs,
    Submitter,
    Sweeper,
)
from heavy_agents.tools import McpServers, Shelf
from routing import Arrivals, Readers, Rooms, create_app

__all__ = ["LOOP_LIMIT_S", "VERSION", "Backend", "build"]

VERSION = "0.1.0"
PAGE_MEMORY_MB = 512
LOOP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that has not been started: start `lifecycle`, then serve `app`."""

    app: FastAPI
    lifecycle: Lifecycle
    health: Health


def build(
    settings: Settings, *, extra_kinds: Sequence[Kind] = (), loop_limit_s: float = LOOP_LIMIT_S
) -> Backend:
    """Put the rooms together.

    Args:
        settings: with a database or a project; an embedded database is started before.
        extra_kinds: kinds of agent beside those of this release.
        loop_limit_s: how long the event loop may stand still before the process ends itself.

    Raises:
        NotConfigured: there is no database to run on.
    """
    ground = _ground(settings)
    engine, stands_on = _engine(ground, extra_kinds)
    ground.hints.listen(Hearing(engine, ground.hub))
    presence, readers, arrivals = _presence(ground, engine), Readers(), Arrivals(ground.health)
    api_keys = ApiKeys(ground.db, clock=ground.clock)
    authenticator = Authenticator(settings, outbound=ground.outbound, clock=ground.clock, api_keys=api_keys)
    limits, runs = _limits(ground), _runs(ground, engine)
    edge = Edge(
        settings,
        ground.db,
        runs=runs,
        model=ground.model,
        outbound=ground.outbound,
        metrics=ground.metrics,
    )
    rooms = Rooms(
        settings=settings,
        runs=runs,
        capacity=(lambda: engine.capacity) if settings.role.executes_runs else (lambda: presence.of_all),
        authenticator=authenticator,
        api_keys=api_keys,
        limits=limits,
        metrics=ground.metrics,
        health=ground.health,
        clock=ground.clock,
        version=_version(settings),
        arrivals=arrivals,
        edge=edge,
        readers=readers,
        tracer=ground.observers.tracer,
        run_tokens=run_tokens_of(settings, clock=ground.clock),
    )
    below: list[Service] = [presence, api_keys, authenticator, limits.callers, *stands_on]
    # Drained from the last to the first: runs are given back before their readers are told to come back.
    watchers = _watchers(ground, engine, loop_limit_s=loop_limit_s)
    above: list[Service] = [edge.light, readers, engine, arrivals, Announcement(presence), *watchers]
    return Backend(create_app(rooms), Lifecycle([*ground.services, *below, *above]), ground.health)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What most rooms are handed."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    health: Health
    outbound: Outbound
    observers: Observers
    worker: str
    db: ServedDatabase
    hints: Hints
    hub: Hub
    model: Model

    @property
    def services(self) -> list[Service]:
        """Whoever watches sees the others start and stop."""
        return [self.outbound, *self.observers.services, self.db, self.hints, self.hub, self.model]


def _ground(settings: Settings) -> _Ground:
    clock, metrics = GuidedClock(), Metrics()
    outbound = Outbound(extra_ca_file=settings.extra_ca_file)
    db = database_of(settings, size=settings.database_pool)
    health = Health(clock)
    health.register(
        "database", DatabaseCheck(db, clock, remedy=MIGRATE if settings.data_api is None else PUSH)
    )
    observers = observers_of(
        settings, post=outbound, metrics=metrics, clock=clock, version=_version(settings)
    )
    worker = new_worker_id(settings.railway_replica_id)
    hints = hints_of(settings, db, name=worker, metrics=metrics, health=health)
    model = configured_model(settings, outbound, metrics=metrics, tracer=observers.tracer)
    hub = Hub(db, hints)
    return _Ground(settings, clock, metrics, health, outbound, observers, worker, db, hints, hub, model)


def _version(settings: Settings) -> str:
    """`0.1.0`, or `0.1.0+<commit>` where the platform says what this was built from."""
    commit = settings.railway_git_commit_sha
    return VERSION if commit is None else f"{VERSION}+{commit[:12]}"


def _runs(ground: _Ground, engine: Engine) -> Runs:
    submitter = Submitter(
        ground.db,
        engine,
        clock=ground.clock,
        credits_owner=ground.settings.credits_owner,
        tracer=ground.observers.tracer,
    )
    pages = max(ground.settings.database_pool // 2, 1)
    follower = Follower(ground.db, ground.hub, pages_at_once=pages)
    return Runs(ground.db, engine=engine, submitter=submitter, follower=follower)


def _watchers(ground: _Ground, engine: Engine, *, loop_limit_s: float) -> list[Service]:
    has_stream = ground.settings.nats_url is not None and engine.kinds
    return [
        *([Sweeper(ground.db, ground.hints, kinds=engine.kinds)] if has_stream else []),
        Expiry(ground.db),
        Backlog(ground.db, metrics=ground.metrics, clock=ground.clock),
        Pulse(ground.health, ground.metrics),
        Watchdog(ground.metrics, ground.clock, limit_s=loop_limit_s),
        DatabaseWatchdog(ground.db),
    ]


def _limits(ground: _Ground) -> RequestLimits:
    """Without Redis each process counts by itself, so that its absence is only a remark."""
    shared = None
    if ground.settings.redis_url is not None:
        shared = SharedCounts(ground.settings.redis_url, metrics=ground.metrics)
        ground.health.register("redis", shared.check, is_needed=False)
    per_minute = ground.settings.requests_per_minute
    return RequestLimits(AddressLimit(per_minute), RequestLimit(per_minute, shared=shared))


def _presence(ground: _Ground, engine: Engine) -> Presence:
    return Presence(
        ground.db,
        metrics=ground.metrics,
        worker=engine.worker,
        slots=engine.capacity.slots,
        drain_s=ground.settings.drain_seconds,
    )


def _engine(ground: _Ground, extra: Sequence[Kind]) -> tuple[Engine, list[Service]]:
    """The engine, and what it stands on: where runs are only accepted, nothing of that is started."""
    settings = ground.settings
    # One for the events of all runs.
    lease_db = database_of(settings, size=1 + BEATS_AT_ONCE)
    workers, pages = _workers(settings, extra), _page_readers()
    events = EventLog(lease_db, hub=ground.hub, metrics=ground.metrics)
    forwarding = _forwarding(ground)
    shelf = _shelf(ground, process=workers, pages=pages)
    equipment = Equipment(ground.model, shelf, settings.run_token_limit, forwarding)
    executes = settings.role.executes_runs
    engine = Engine(
        _floor(ground, lease_db, events=events, compute=workers),
        _kinds(ground, equipment, extra),
        worker=ground.worker,
        slots=settings.worker_slots if executes else 0,
        retention_days=settings.run_retention_days,
        drain_s=settings.drain_seconds,
    )
    watched: list[Service] = [lease_db, DatabaseWatchdog(lease_db)]
    return engine, [*watched, workers, pages, events, forwarding] if executes else []


def _floor(ground: _Ground, lease_db: ServedDatabase, *, events: EventLog, compute: WorkerPool) -> Floor:
    return Floor(
        db=ground.db,
        lease_db=lease_db,
        events=events,
        hub=ground.hub,
        compute=compute,
        metrics=ground.metrics,
        clock=ground.clock,
        hints=ground.hints,
        tracer=ground.observers.tracer,
    )


def _kinds(ground: _Ground, equipment: Equipment, extra: Sequence[Kind]) -> Mapping[str, Agent]:
    own = kinds(equipment, metrics=ground.metrics, default_model=ground.settings.default_model)
    return equip([*own, *extra], equipment)


def _page_readers() -> WorkerPool:
    """Strangers' pages are read in processes of their own, so that they never wait for a forecast."""
    return WorkerPool(processes=2, memory_mb=PAGE_MEMORY_MB, allowed=("heavy_agents.tools.page:",))


def _workers(settings: Settings, extra_kinds: Sequence[Kind]) -> WorkerPool:
    """A kind computes with the functions of its own file."""
    own = [f"{type(kind).__module__}:" for kind in extra_kinds]
    return WorkerPool(
        processes=settings.process_workers,
        memory_mb=settings.process_memory_mb,
        allowed=("forecast.", *own),
    )


def _forwarding(ground: _Ground) -> Forwarding:
    return Forwarding(
        ground.settings,
        tokens=run_tokens_of(ground.settings, clock=ground.clock),
        outbound=ground.outbound,
        metrics=ground.metrics,
        clock=ground.clock,
    )


def _shelf(ground: _Ground, *, process: WorkerPool, pages: WorkerPool) -> Shelf:
    settings = ground.settings
    return Shelf(
        outbound=ground.outbound,
        process=process,
        pages=pages,
        clock=ground.clock,
        may_fetch=settings.enable_web_scraping,
        private_hosts=frozenset(settings.fetch_private_hosts),
        mcp=McpServers(outbound=ground.outbound, allowed=settings.mcp_servers),
    )
