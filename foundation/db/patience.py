"""How long we wait for a database that is still coming up, and what we say meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from foundation.errors import DatabaseUnavailable

__all__ = ["connect_patiently"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0

# Waiting does not turn a wrong password or an unknown database into a right one.
_HOPELESS_STATES = frozenset({"28000", "28P01", "3D000"})


async def connect_patiently(connect: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """Call `connect` until it succeeds, with growing pauses, for at most `within_s` seconds.

    Raises:
        DatabaseUnavailable: it never succeeded, or cannot.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await connect()
        except Exception as error:
            left_s = deadline_s - loop.time()
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) * random.uniform(0.7, 1.0)  # noqa: S311 - jitter
            if _is_hopeless(error):
                raise DatabaseUnavailable("the database refused the login; check DATABASE_URL") from error
            if left_s <= pause_s:
                raise DatabaseUnavailable(
                    f"the database could not be reached within {within_s:g} s"
                ) from error
            log.warning("database_not_reachable", reason=_reason(error), retry_in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)


def _is_hopeless(error: Exception) -> bool:
    return isinstance(error, ValueError) or getattr(error, "sqlstate", None) in _HOPELESS_STATES


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")
