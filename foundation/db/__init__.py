"""The database: one port, two ways to it (a pool, a Data API), a Postgres of our own, and migrations."""

from foundation.db.chosen import database_of, listening_url
from foundation.db.embedded import EmbeddedPostgres, FolderTaken, embedded_url
from foundation.db.glance import Glance, glance
from foundation.db.migrate import migrate, seed
from foundation.db.pending import MigrationError
from foundation.db.pool import TRANSACTION_POOLER_PORT, PoolDatabase
from foundation.db.port import Database, ServedDatabase
from foundation.db.sight import Sight, Trouble, Unseen, look, missing
from foundation.db.supabase import SupabaseDatabase
from foundation.db.wedged import DatabaseWatchdog

__all__ = [
    "TRANSACTION_POOLER_PORT",
    "Database",
    "DatabaseWatchdog",
    "EmbeddedPostgres",
    "FolderTaken",
    "Glance",
    "MigrationError",
    "PoolDatabase",
    "ServedDatabase",
    "Sight",
    "SupabaseDatabase",
    "Trouble",
    "Unseen",
    "database_of",
    "embedded_url",
    "glance",
    "listening_url",
    "look",
    "migrate",
    "missing",
    "seed",
]
