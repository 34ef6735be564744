"""How late a server's loop was by its own account: the histogram `event_loop_lag_seconds` of its metrics.

It ticks four times a second, so a few seconds have few ticks: a rare stall is seen by the probe, not here.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import httpx2

__all__ = ["late_at_most_ms", "loop_ticks"]

BUCKET: Final = re.compile(r'^event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


async def loop_ticks(url: str) -> Counter[float]:
    """How many ticks were at most so many seconds late; empty where a server does not count them."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/metrics")
    return Counter({float(bound): int(float(count)) for bound, count in BUCKET.findall(answer.text)})


def late_at_most_ms(ticks: Counter[float], *, share: float) -> float:
    """The bound of the first bucket that holds this share of the ticks."""
    return 1000 * min(bound for bound, count in ticks.items() if count >= share * max(ticks.values()))
