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
from foundation.telemetry import Health, Metrics, Tracer, Watchdog, observers_of
from foundation.workers import WorkerPool
from heavy_agents.agents import Equipment, Kind, equip, kinds
from heavy_agents.events import EventLog, Follower, Hub
from heavy_agents.llm import Limits, Model
from heavy_agents.runs import Agent, DatabaseCheck, Engine, Floor, Runs, Submitter
from heavy_agents.tools import McpServers, Shelf
from routing import Readers, Rooms, create_app

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
    observers = observers_of(settings, post=outbound, metrics=metrics, clock=clock, version=VERSION)
    tracer = observers.tracer
    db = PoolDatabase(settings.database_url, size=settings.database_pool)
    api_keys = ApiKeys(db, clock=clock)
    authenticator = Authenticator(settings, outbound=outbound, clock=clock, api_keys=api_keys)
    workers = _workers(settings, extra_kinds)
    lease_db = PoolDatabase(settings.database_url, size=2)
    floor = _floor(db, lease_db, compute=workers, metrics=metrics, clock=clock, tracer=tracer)
    model = _model(settings, outbound, metrics, tracer)
    pages = _page_readers()
    shelf = _shelf(settings, outbound, clock, process=workers, pages=pages)
    equipment = Equipment(model, shelf, settings.run_token_limit)
    own_kinds = kinds(equipment, metrics=metrics, default_model=settings.default_model)
    engine = _engine(settings, floor, equip([*own_kinds, *extra_kinds], equipment))
    submitter = Submitter(db, engine, clock=clock, credits_owner=settings.credits_owner, tracer=tracer)
    health.register("database", DatabaseCheck(db, clock))
    limits = _limits(settings, metrics, health)
    rooms = Rooms(
        settings=settings,
        runs=Runs(db, engine=engine, submitter=submitter, follower=Follower(db, floor.hub)),
        engine_capacity=lambda: (engine.active, engine.slots),
        authenticator=authenticator,
        api_keys=api_keys,
        limits=limits,
        metrics=metrics,
        health=health,
        clock=clock,
        version=VERSION,
        readers=readers,
        tracer=tracer,
    )
    # Whoever watches sees the others start and stop.
    below: list[Service] = [outbound, *observers.services, db, lease_db, api_keys, authenticator, workers]
    below += [pages, floor.hub, floor.events, model, limits.callers]
    return Backend(create_app(rooms), Lifecycle([*below, engine, readers, Watchdog(metrics, clock)]), health)


def _floor(
    db: PoolDatabase,
    lease_db: PoolDatabase,
    *,
    compute: WorkerPool,
    metrics: Metrics,
    clock: Clock,
    tracer: Tracer,
) -> Floor:
    hub = Hub(db)
    return Floor(
        db=db,
        lease_db=lease_db,
        events=EventLog(lease_db, hub=hub, metrics=metrics),
        hub=hub,
        compute=compute,
        metrics=metrics,
        clock=clock,
        tracer=tracer,
    )


def _limits(settings: Settings, metrics: Metrics, health: Health) -> RequestLimits:
    """Without Redis each process counts by itself, so that its absence is only a remark."""
    shared = None
    if settings.redis_url is not None:
        shared = SharedCounts(settings.redis_url, metrics=metrics)
        health.register("redis", shared.check, is_needed=False)
    per_minute = settings.requests_per_minute
    return RequestLimits(AddressLimit(per_minute), RequestLimit(per_minute, shared=shared))


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


def _model(settings: Settings, outbound: Outbound, metrics: Metrics, tracer: Tracer) -> Model:
    base_url, api_key = settings.model_endpoint
    limits = Limits(
        first_token_s=settings.model_first_token_seconds,
        silence_s=settings.model_silence_seconds,
        turn_s=settings.model_turn_seconds,
    )
    secret = api_key.get_secret_value() if api_key is not None else None
    return Model(
        base_url=base_url, api_key=secret, outbound=outbound, metrics=metrics, limits=limits, tracer=tracer
    )


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


def _engine(settings: Settings, floor: Floor, kinds: Mapping[str, Agent]) -> Engine:
    return Engine(
        floor,
        kinds,
        worker=new_worker_id(),
        slots=settings.worker_slots,
        retention_days=settings.run_retention_days,
    )
