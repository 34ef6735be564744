"""Whether the database is fit to run on: reachable, migrated far enough, and in time with this process."""

from __future__ import annotations

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import DatabaseUnavailable, HeavyError, NotConfigured

__all__ = ["DatabaseCheck"]

SCHEMA_VERSION = 3
MAX_OFFSET_S = 30.0


class DatabaseCheck:
    """A readiness check; what is wrong is the text of the error it raises."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def __call__(self) -> None:
        """Raises DatabaseUnavailable or NotConfigured, with a sentence for the operator."""
        await self._check_schema()
        now_ms = (await self._db.call("switchyard_clock"))["now_ms"]
        offset_s = abs(self._clock.now().timestamp() - now_ms / 1000)
        if offset_s > MAX_OFFSET_S:
            raise NotConfigured(
                f"this machine's clock is {offset_s:.0f} s away from the database's; set it right"
            )

    async def _check_schema(self) -> None:
        try:
            version = (await self._db.call("switchyard_schema_version"))["version"]
        except DatabaseUnavailable:
            raise
        except HeavyError as error:
            raise NotConfigured("the schema is missing; run `python railway_server.py migrate`") from error
        if version < SCHEMA_VERSION:
            raise NotConfigured(
                f"the schema has version {version}, this release needs {SCHEMA_VERSION};"
                " run `python railway_server.py migrate`"
            )
