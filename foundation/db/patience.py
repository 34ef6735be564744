"""How long we wait for a database that is still coming up, and what we say meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from foundation.db.mapping import Meaning, meaning_of
from foundation.errors import DatabaseUnavailable

__all__ = ["NotLetIn", "connect_patiently"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0


class NotLetIn(Exception):
    """The login was refused, though another try may be let in; the text is the answer."""


async def connect_patiently(
    connect: Callable[[], Awaitable[T]], *, within_s: float, login: str = "the login; check DATABASE_URL"
) -> T:
    """Call `connect` until it succeeds, with growing pauses, for at most `within_s` seconds.

    Args:
        login: what the database may refuse for good, and where it is set.

    Raises:
        DatabaseUnavailable: it never succeeded, or cannot.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    pause_s = FIRST_PAUSE_S
    refusal: NotLetIn | None = None
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                return await connect()
        except Exception as error:
            left_s = deadline_s - loop.time()
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) * random.uniform(0.7, 1.0)  # noqa: S311 - jitter
            if _is_hopeless(error):
                raise DatabaseUnavailable(f"the database refused {login}") from error
            refusal = _refusal(error, before=refusal)
            if left_s <= pause_s and refusal is not None:
                raise DatabaseUnavailable(f"the database refused {login} ({refusal})") from error
            if left_s <= pause_s:
                raise DatabaseUnavailable(
                    f"the database could not be reached within {within_s:g} s"
                ) from error
            log.warning("database_not_reachable", reason=_reason(error), retry_in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)


def _is_hopeless(error: Exception) -> bool:
    """Waiting does not turn a wrong password or an unknown database into a right one."""
    code = getattr(error, "sqlstate", None) or ""
    return isinstance(error, ValueError) or meaning_of(code) is Meaning.LOCKED_OUT


def _refusal(error: Exception, *, before: NotLetIn | None) -> NotLetIn | None:
    """What the last answer was: a try that its time cuts off has none."""
    if isinstance(error, TimeoutError):
        return before
    return error if isinstance(error, NotLetIn) else None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")
