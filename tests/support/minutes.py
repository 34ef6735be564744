"""Plans count runs by the minutes of the clock: while a test counts to the bound, none may end."""

from __future__ import annotations

import asyncio
import time

__all__ = ["until_a_minute_lasts"]


async def until_a_minute_lasts(at_least_s: float = 5.0) -> None:
    """Return when the present minute has so long to go; at once, but for the last seconds of one."""
    while 60 - time.time() % 60 < at_least_s:
        await asyncio.sleep(0.1)
