"""Whether the database is fit to run on: reachable, migrated far enough, and in time with this process."""

from __future__ import annotations

from foundation.clock import GuidedClock
from foundation.db import Database
from foundation.errors import DatabaseUnavailable, HeavyError, NotConfigured

__all__ = ["MIGRATE", "PUSH", "SCHEMA_VERSION", "DatabaseCheck"]

SCHEMA_VERSION = 5
MAX_OFFSET_S = 30.0
MIGRATE = "run `python railway_server.py migrate`"
# Through a Data API nobody can change a schema.
PUSH = "run `supabase db push --remote` in a checkout of this release"


class DatabaseCheck:
    """A readiness check; what is wrong is the text of the error it raises.

    A clock that is far off is put right for this process. It is not ready all the same, because others on the
    machine are not helped by that.
    """

    def __init__(self, db: Database, clock: GuidedClock, *, remedy: str = MIGRATE) -> None:
        """
        Args:
            remedy: what to do about a schema that is missing or old.
        """
        self._db = db
        self._clock = clock
        self._remedy = remedy

    async def __call__(self) -> None:
        """Raises DatabaseUnavailable or NotConfigured, with a sentence for the operator."""
        await self.check_schema()
        ahead_s = await self._ahead_s()
        is_far = abs(ahead_s) > MAX_OFFSET_S
        self._clock.guide(ahead_s=ahead_s if is_far else 0)
        if is_far:
            raise NotConfigured(
                f"this machine's clock is {abs(ahead_s):.0f} s away from the database's; set it right"
            )

    async def _ahead_s(self) -> float:
        """As exact as half of what the question takes."""
        asked_s = self._clock.own_now().timestamp()
        now_ms = (await self._db.call("switchyard_clock"))["now_ms"]
        answered_s = self._clock.own_now().timestamp()
        return float((asked_s + answered_s) / 2 - now_ms / 1000)

    async def check_schema(self) -> None:
        """Raises as the whole does."""
        try:
            version = (await self._db.call("switchyard_schema_version"))["version"]
        except DatabaseUnavailable:
            raise
        except HeavyError as error:
            raise NotConfigured(f"the schema is missing; {self._remedy}") from error
        if version < SCHEMA_VERSION:
            raise NotConfigured(
                f"the schema has version {version}, this release needs {SCHEMA_VERSION}; {self._remedy}"
            )
