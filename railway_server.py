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
from foundation.db import DatabaseWatchdog, ServedDatabase, database_of, listening_url
from foundation.hints import Deaf, Hints, NatsHints, PostgresHints
from foundation.identity import ApiKeys, Authenticator
from foundation.ids import new_worker_id
from foundation.lifecycle import Lifecycle, Service
from foundation.limits import AddressLimit, RequestLimit, RequestLimits, SharedCounts
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Observers, Pulse, Watchdog, observers_of
from foundation.workers import WorkerPool
from heavy_agents.agents import Equipment, Kind, equip, kinds
from heavy_agents.events import EventLog, Follower, Hub
from heavy_agents.llm import Limits, Model
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
    limits = _limits(ground)
    rooms = Rooms(
        settings=settings,
        runs=_runs(ground, engine),
        capacity=(lambda: engine.capacity) if settings.role.executes_runs else (lambda: presence.of_all),
        authenticator=authenticator,
        api_keys=api_keys,
        limits=limits,
        metrics=ground.metrics,
        health=ground.health,
        clock=ground.clock,
        version=_version(settings),
        arrivals=arrivals,
        readers=readers,
        tracer=ground.observers.tracer,
    )
    below: list[Service] = [presence, api_keys, authenticator, limits.callers, *stands_on]
    # Drained from the last to the first: runs are given back before their readers are told to come back.
    watchers = _watchers(ground, engine, loop_limit_s=loop_limit_s)
    above: list[Service] = [readers, engine, arrivals, Announcement(presence), *watchers]
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

    @property
    def services(self) -> list[Service]:
        """Whoever watches sees the others start and stop."""
        return [self.outbound, *self.observers.services, self.db, self.hints, self.hub]


def _ground(settings: Settings) -> _Ground:
    clock, metrics, outbound = GuidedClock(), Metrics(), Outbound()
    db = database_of(settings, size=settings.database_pool)
    health = Health(clock)
    health.register(
        "database", DatabaseCheck(db, clock, remedy=MIGRATE if settings.data_api is None else PUSH)
    )
    observers = observers_of(
        settings, post=outbound, metrics=metrics, clock=clock, version=_version(settings)
    )
    worker = new_worker_id(settings.railway_replica_id)
    hints = _hints(settings, db, name=worker, metrics=metrics, health=health)
    hub = Hub(db, hints)
    return _Ground(settings, clock, metrics, health, outbound, observers, worker, db, hints, hub)


def _hints(settings: Settings, db: ServedDatabase, *, name: str, metrics: Metrics, health: Health) -> Hints:
    if settings.nats_url is not None:
        hints = NatsHints(settings.nats_url, metrics=metrics)
        health.register("nats", hints.check, is_needed=False)
        return hints
    if (url := listening_url(settings)) is None:
        return Deaf()
    return PostgresHints(url, db, name=name, metrics=metrics)


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
    model = _model(ground)
    equipment = Equipment(model, _shelf(ground, process=workers, pages=pages), settings.run_token_limit)
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
    return engine, [*watched, workers, pages, events, model] if executes else []


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


def _model(ground: _Ground) -> Model:
    settings = ground.settings
    base_url, api_key = settings.model_endpoint
    limits = Limits(
        first_token_s=settings.model_first_token_seconds,
        silence_s=settings.model_silence_seconds,
        turn_s=settings.model_turn_seconds,
    )
    return Model(
        base_url=base_url,
        api_key=api_key.get_secret_value() if api_key is not None else None,
        outbound=ground.outbound,
        metrics=ground.metrics,
        limits=limits,
        tracer=ground.observers.tracer,
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
