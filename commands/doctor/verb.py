"""The doctor's visit: settings first, then everything else at once, each within its time.

A check that breaks is a finding of its own; nothing that is wrong out there ends in a traceback here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Final, TypeVar

from commands.backend import MIGRATIONS
from commands.doctor.addresses import secrets_of, without
from commands.doctor.database import clock_findings, database_findings, migration_findings
from commands.doctor.facts import Facts
from commands.doctor.finding import Broken, Finding, skipped
from commands.doctor.probes import (
    probe_collector,
    probe_database,
    probe_model,
    probe_nats,
    probe_port,
    probe_project,
    probe_redis,
)
from commands.doctor.services import nats_findings, redis_findings
from commands.doctor.settings import mistakes, port_findings, settings_findings
from commands.doctor.watchers import report_findings, trace_findings
from commands.doctor.web import model_findings, project_findings
from foundation.db import missing
from foundation.outbound import Outbound
from foundation.settings import Settings, SettingsError, load

__all__ = ["diagnose", "visit"]

WITHIN_S: Final = 15.0
# An embedded database may have a crash to recover from.
DATABASE_WITHIN_S: Final = 60.0
AFTER_SETTINGS: Final = (
    *("port", "database", "migrations", "clock", "model", "project", "NATS", "Redis"),
    *("traces", "reports"),
)

T = TypeVar("T")


async def visit() -> list[Finding]:
    """Everything there is to say, what comes first before what depends on it."""
    try:
        settings = load()
    except SettingsError as error:
        rest = [skipped(each, "not looked at: the settings come first") for each in AFTER_SETTINGS]
        return [*mistakes(error.lines), *rest]
    secrets = secrets_of(settings)
    return [_hiding(each, secrets) for each in diagnose(settings, await _facts(settings))]


def diagnose(settings: Settings, facts: Facts) -> list[Finding]:
    """What the facts mean. Pure, apart from reading which migrations this release has."""
    clocks = {"the model endpoint": facts.model, "the project": facts.project}
    return [
        *settings_findings(settings),
        *port_findings(facts.port, settings.port),
        *database_findings(facts.database),
        *migration_findings(facts.database, partial(missing, MIGRATIONS)),
        *clock_findings(facts.database, clocks),
        *model_findings(facts.model, settings),
        *project_findings(facts.project, settings),
        *nats_findings(facts.nats),
        *redis_findings(facts.redis),
        *trace_findings(facts.collector, settings),
        *report_findings(settings),
    ]


async def _facts(settings: Settings) -> Facts:
    outbound = Outbound()
    await outbound.start()
    try:
        collecting = asyncio.ensure_future(_within(WITHIN_S, probe_collector(settings, outbound)))
        port, database, model, project, nats, redis = await asyncio.gather(
            _within(WITHIN_S, probe_port(settings)),
            _within(DATABASE_WITHIN_S, probe_database(settings)),
            _within(WITHIN_S, probe_model(settings, outbound)),
            _within(WITHIN_S, probe_project(settings, outbound)),
            _within(WITHIN_S, probe_nats(settings)),
            _within(WITHIN_S, probe_redis(settings)),
        )
        collector = await collecting
    finally:
        await outbound.stop()
    return Facts(port, database, model, project, nats, redis, collector)


async def _within(limit_s: float, probe: Awaitable[T]) -> T | Broken:
    """The facts, or why there are none: whatever goes wrong in a probe is something to be told."""
    try:
        async with asyncio.timeout(limit_s):
            return await probe
    except TimeoutError:
        return Broken(f"not finished within {limit_s:.0f} s")
    except Exception as error:
        return Broken(f"the check broke: {type(error).__name__}: {error}")


def _hiding(finding: Finding, secrets: list[str]) -> Finding:
    """Last of all, whatever a library has put into a text."""
    return Finding(
        finding.check, finding.level, without(finding.says, secrets), without(finding.todo, secrets)
    )
