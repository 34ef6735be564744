"""The entry point and composition root: settings in, a backend out. Knows every room, holds no logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI

import commands
from foundation.clock import SystemClock
from foundation.db import PoolDatabase
from foundation.errors import NotConfigured
from foundation.identity import Authenticator
from foundation.ids import new_worker_id
from foundation.lifecycle import Lifecycle, Service
from foundation.limits import RequestLimit
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics, Watchdog
from foundation.workers import WorkerPool
from heavy_agents.agents import agents
from heavy_agents.events import EventLog, Follower, Hub
from heavy_agents.runs import Agent, DatabaseCheck, Engine, Floor, Runs, Submitter
from routing import Readers, Rooms, create_app

__all__ = ["VERSION", "Backend", "build"]

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that has not been started: start `lifecycle`, then serve `app`."""

    app: FastAPI
    lifecycle: Lifecycle
    health: Health


def build(settings: Settings, *, extra_agents: Mapping[str, Agent] | None = None) -> Backend:
    """Put the rooms together.

    Args:
        settings: `database_url` must be set; an embedded database is started before.
        extra_agents: kinds beside those of this release, by name.

    Raises:
        NotConfigured: there is no database to run on.
    """
    if settings.database_url is None:
        raise NotConfigured("DATABASE_URL: not set, and no embedded database was started")
    clock, metrics = SystemClock(), Metrics()
    health, readers, outbound = Health(clock), Readers(), Outbound()
    authenticator = Authenticator(settings, outbound=outbound, clock=clock)
    db = PoolDatabase(settings.database_url, size=settings.database_pool)
    workers = WorkerPool(processes=settings.process_workers, memory_mb=settings.process_memory_mb)
    lease_db = PoolDatabase(settings.database_url, size=2)
    hub = Hub(db)
    events = EventLog(lease_db, hub=hub, metrics=metrics)
    floor = Floor(
        db=db,
        lease_db=lease_db,
        events=events,
        hub=hub,
        compute=workers,
        metrics=metrics,
        clock=clock,
    )
    engine = _engine(settings, floor, {**agents(metrics), **(extra_agents or {})})
    submitter = Submitter(db, engine, clock=clock, credits_owner=settings.credits_owner)
    health.register("database", DatabaseCheck(db, clock))
    rooms = Rooms(
        settings=settings,
        runs=Runs(db, engine=engine, submitter=submitter, follower=Follower(db, hub)),
        engine_capacity=lambda: (engine.active, engine.slots),
        authenticator=authenticator,
        request_limit=RequestLimit(settings.requests_per_minute),
        metrics=metrics,
        health=health,
        clock=clock,
        version=VERSION,
        readers=readers,
    )
    services: list[Service] = [db, lease_db, outbound, authenticator, workers, hub, events, engine, readers]
    return Backend(create_app(rooms), Lifecycle([*services, Watchdog(metrics, clock)]), health)


def _engine(settings: Settings, floor: Floor, kinds: Mapping[str, Agent]) -> Engine:
    return Engine(
        floor,
        kinds,
        worker=new_worker_id(),
        slots=settings.worker_slots,
        retention_days=settings.run_retention_days,
    )


if __name__ == "__main__":
    commands.main(build)
