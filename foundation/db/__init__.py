"""The database: one port, a pool of connections, a Postgres of our own, and migrations."""

from foundation.db.embedded import EmbeddedPostgres, FolderTaken, embedded_url
from foundation.db.migrate import migrate, seed
from foundation.db.pending import MigrationError
from foundation.db.pool import TRANSACTION_POOLER_PORT, PoolDatabase
from foundation.db.port import Database
from foundation.db.sight import Sight, Trouble, Unseen, look, missing
from foundation.db.wedged import DatabaseWatchdog

__all__ = [
    "TRANSACTION_POOLER_PORT",
    "Database",
    "DatabaseWatchdog",
    "EmbeddedPostgres",
    "FolderTaken",
    "MigrationError",
    "PoolDatabase",
    "Sight",
    "Trouble",
    "Unseen",
    "embedded_url",
    "look",
    "migrate",
    "missing",
    "seed",
]
