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

from foundation.clock import Clock, SystemClock
from foundation.db import PoolDatabase
from foundation.errors import NotConfigured
from foundation.identity import ApiKeys, Authenticator
from foundation.ids import new_worker_id
from foundation.lifecycle import Lifecycle, Service
from foundation.limits import AddressLimit, RequestLimit, RequestLimits, SharedCounts
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Pulse, Watchdog
from foundation.workers import WorkerPool
from heavy_agents.agents import Equipment, Kind, equip, kinds
from heavy_agents.events import EventLog, Follower, Hub
from heavy_agents.llm import Limits, Model
from heavy_agents.runs import (
    Agent,
    Announcement,
    Backlog,
    DatabaseCheck,
    Engine,
    Floor,
    Presence,
    Runs,
    Submitter,
)
from heavy_agents.tools import McpServers, Shelf
from routing import Arrivals, Readers, Rooms, create_app

__all__ = ["VERSION", "Backend", "build"]

VERSION = "0.1.0"
PAGE_MEMORY_MB = 512


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that has not been started: start `lifecycle`, then serve `app`."""

    app: FastAPI
    lifecycle: Lifecycle
    health: Health


def build(settings: Settings, *, extra_kinds: Sequence[Kind] = ()) -> Backend:
    """Put the rooms together.

    Args:
        settings: `database_url` must be set; an embedded database is started before.
        extra_kinds: kinds of agent beside those of this release.

    Raises:
        NotConfigured: there is no database to run on.
    """
    if settings.database_url is None:
        raise NotConfigured("DATABASE_URL: not set, and no embedded database was started")
    clock, metrics = SystemClock(), Metrics()
    health, readers, outbound = Health(clock), Readers(), Outbound()
    arrivals = Arrivals(health)
    db = PoolDatabase(settings.database_url, size=settings.database_pool)
    api_keys = ApiKeys(db, clock=clock)
    authenticator = Authenticator(settings, outbound=outbound, clock=clock, api_keys=api_keys)
    hub = Hub(db)
    engine, stands_on = _engine(
        settings, db, hub=hub, outbound=outbound, metrics=metrics, clock=clock, extra=extra_kinds
    )
    presence = _presence(settings, db, engine=engine, metrics=metrics)
    submitter = Submitter(db, engine, clock=clock, credits_owner=settings.credits_owner)
    health.register("database", DatabaseCheck(db, clock))
    limits = _limits(settings, metrics, health)
    rooms = Rooms(
        settings=settings,
        runs=Runs(db, engine=engine, submitter=submitter, follower=Follower(db, hub)),
        capacity=(lambda: engine.capacity) if settings.role.executes_runs else (lambda: presence.of_all),
        authenticator=authenticator,
        api_keys=api_keys,
        limits=limits,
        metrics=metrics,
        health=health,
        clock=clock,
        version=_version(settings),
        arrivals=arrivals,
        readers=readers,
    )
    below: list[Service] = [db, presence, outbound, api_keys, authenticator, hub, limits.callers, *stands_on]
    above: list[Service] = [readers, engine, arrivals, Announcement(presence)]
    above += [
        Backlog(db, metrics=metrics, clock=clock),
        Pulse(health, metrics),
        Watchdog(metrics, clock),
    ]
    return Backend(create_app(rooms), Lifecycle([*below, *above]), health)


def _version(settings: Settings) -> str:
    """`0.1.0`, or `0.1.0+<commit>` where the platform says what this was built from."""
    commit = settings.railway_git_commit_sha
    return VERSION if commit is None else f"{VERSION}+{commit[:12]}"


def _limits(settings: Settings, metrics: Metrics, health: Health) -> RequestLimits:
    """Without Redis each process counts by itself, so that its absence is only a remark."""
    shared = None
    if settings.redis_url is not None:
        shared = SharedCounts(settings.redis_url, metrics=metrics)
        health.register("redis", shared.check, is_needed=False)
    per_minute = settings.requests_per_minute
    return RequestLimits(AddressLimit(per_minute), RequestLimit(per_minute, shared=shared))


def _kinds(
    settings: Settings, equipment: Equipment, *, metrics: Metrics, extra: Sequence[Kind]
) -> Mapping[str, Agent]:
    own = kinds(equipment, metrics=metrics, default_model=settings.default_model)
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


def _model(settings: Settings, outbound: Outbound, metrics: Metrics) -> Model:
    base_url, api_key = settings.model_endpoint
    limits = Limits(
        first_token_s=settings.model_first_token_seconds,
        silence_s=settings.model_silence_seconds,
        turn_s=settings.model_turn_seconds,
    )
    secret = api_key.get_secret_value() if api_key is not None else None
    return Model(base_url=base_url, api_key=secret, outbound=outbound, metrics=metrics, limits=limits)


def _shelf(
    settings: Settings, outbound: Outbound, clock: Clock, *, process: WorkerPool, pages: WorkerPool
) -> Shelf:
    return Shelf(
        outbound=outbound,
        process=process,
        pages=pages,
        clock=clock,
        may_fetch=settings.enable_web_scraping,
        private_hosts=frozenset(settings.fetch_private_hosts),
        mcp=McpServers(outbound=outbound, allowed=settings.mcp_servers),
    )


def _presence(settings: Settings, db: PoolDatabase, *, engine: Engine, metrics: Metrics) -> Presence:
    return Presence(
        db,
        metrics=metrics,
        worker=engine.worker,
        slots=engine.capacity.slots,
        drain_s=settings.drain_seconds,
    )


def _engine(
    settings: Settings,
    db: PoolDatabase,
    *,
    hub: Hub,
    outbound: Outbound,
    metrics: Metrics,
    clock: Clock,
    extra: Sequence[Kind],
) -> tuple[Engine, list[Service]]:
    """The engine, and what it stands on: where runs are only accepted, nothing of that is started."""
    assert settings.database_url is not None  # noqa: S101 - checked before
    lease_db = PoolDatabase(settings.database_url, size=2)
    workers, pages = _workers(settings, extra), _page_readers()
    events = EventLog(lease_db, hub=hub, metrics=metrics)
    model = _model(settings, outbound, metrics)
    shelf = _shelf(settings, outbound, clock, process=workers, pages=pages)
    equipment = Equipment(model, shelf, settings.run_token_limit)
    executes = settings.role.executes_runs
    engine = Engine(
        Floor(
            db=db, lease_db=lease_db, events=events, hub=hub, compute=workers, metrics=metrics, clock=clock
        ),
        _kinds(settings, equipment, metrics=metrics, extra=extra),
        worker=new_worker_id(settings.railway_replica_id),
        slots=settings.worker_slots if executes else 0,
        retention_days=settings.run_retention_days,
        drain_s=settings.drain_seconds,
    )
    return engine, [lease_db, workers, pages, events, model] if executes else []
