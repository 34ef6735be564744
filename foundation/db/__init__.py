"""The database: one port, a pool of connections, a Postgres of our own, and migrations."""

from foundation.db.embedded import EmbeddedPostgres, embedded_url
from foundation.db.migrate import migrate, seed
from foundation.db.pending import MigrationError
from foundation.db.pool import PoolDatabase
from foundation.db.port import Database

__all__ = [
    "Database",
    "EmbeddedPostgres",
    "MigrationError",
    "PoolDatabase",
    "embedded_url",
    "migrate",
    "seed",
]
