"""Which way the processes tell each other what has happened, as the settings and the database allow."""

from __future__ import annotations

from urllib.parse import urlsplit

from foundation.db import TRANSACTION_POOLER_PORT, PoolDatabase
from foundation.hints.nats import NatsHints
from foundation.hints.port import Deaf, Hints
from foundation.hints.postgres import PostgresHints
from foundation.settings import Settings
from foundation.telemetry import Health, Metrics

__all__ = ["hints_of"]


def hints_of(settings: Settings, db: PoolDatabase, *, name: str, metrics: Metrics, health: Health) -> Hints:
    """A transaction pooler keeps no session, so that nobody can listen through it."""
    assert settings.database_url is not None  # noqa: S101 - checked before
    if settings.nats_url is not None:
        hints = NatsHints(settings.nats_url, metrics=metrics)
        health.register("nats", hints.check, is_needed=False)
        return hints
    if urlsplit(settings.database_url).port == TRANSACTION_POOLER_PORT:
        return Deaf()
    return PostgresHints(settings.database_url, db, name=name, metrics=metrics)
