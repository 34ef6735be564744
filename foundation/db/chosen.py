"""Which way to the database the settings choose: the pool of an address, or a project's Data API.

A project's own address comes first where both are set: it is faster, and others can be listened to.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from foundation.db.pool import TRANSACTION_POOLER_PORT, PoolDatabase
from foundation.db.port import ServedDatabase
from foundation.db.supabase import SupabaseDatabase
from foundation.errors import NotConfigured
from foundation.settings import Settings

__all__ = ["database_of", "listening_url"]


def database_of(settings: Settings, *, size: int) -> ServedDatabase:
    """With up to `size` connections.

    Raises:
        NotConfigured: there is neither, and no embedded database was started.
    """
    if settings.database_url is not None:
        return PoolDatabase(settings.database_url, size=size)
    if (project := settings.data_api) is not None:
        url, key = project
        return SupabaseDatabase(url, key.get_secret_value(), size=size)
    raise NotConfigured("DATABASE_URL: not set, and no embedded database was started")


def listening_url(settings: Settings) -> str | None:
    """Where a connection may LISTEN.

    None where nobody can: a transaction pooler keeps no session, and the Data API has none.
    """
    url = settings.database_url
    if url is None or urlsplit(url).port == TRANSACTION_POOLER_PORT:
        return None
    return url
