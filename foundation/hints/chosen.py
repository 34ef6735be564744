"""Which way the processes tell each other what has happened, as the settings and the database allow."""

from __future__ import annotations

from foundation.db import Database, listening_url
from foundation.hints.nats import NatsHints
from foundation.hints.port import Deaf, Hints
from foundation.hints.postgres import PostgresHints
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics

__all__ = ["hints_of"]


def hints_of(settings: Settings, db: Database, *, name: str, metrics: Metrics, health: Health) -> Hints:
    if settings.nats_url is not None:
        hints = NatsHints(settings.nats_url, metrics=metrics)
        health.register("nats", hints.check, is_needed=False)
        return hints
    if (url := listening_url(settings)) is None:
        return Deaf()
    return PostgresHints(url, db, name=name, metrics=metrics)
