"""Readers that read: they follow a run that says moments, and note how long each took to arrive.

The moments are those of `tests.support.talkative`.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Sequence
from typing import Final

from tests.support.bare import Bare
from tests.support.stuck import Place

__all__ = ["attentive_readers", "quantile"]

MOMENT: Final = re.compile(rb'" (\d{20})"')
END: Final = b'"type":"done"'
FAILED: Final = (b'"type":"error"', b"HTTP/1.1 4", b"HTTP/1.1 5")
# A moment that is cut in the middle is completed by the next piece.
KEPT_BYTES: Final = 64


async def attentive_readers(places: Sequence[Place], *, within_s: float) -> list[float]:
    """Read each run to its end over a stream: seconds that each moment took, of all of them together."""
    async with asyncio.timeout(within_s):
        took = await asyncio.gather(*map(_read, places))
    return [each for one in took for each in one]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


async def _read(place: Place) -> list[float]:
    head = (
        f"GET /api/runs/{place.run_id}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {place.token}\r\n\r\n"
    )
    took_s: list[float] = []
    async with Bare.connected(place.url) as bare:
        await bare.say(head.encode())
        rest = b""
        while True:
            await bare.until(lambda: bool(bare.received) or bare.ended is not None)
            now_ns = time.monotonic_ns()
            piece = rest + bytes(bare.received)
            bare.received.clear()
            found = list(MOMENT.finditer(piece))
            took_s += [(now_ns - int(each[1])) / 1e9 for each in found]
            if END in piece:
                return took_s
            assert bare.ended is None, piece
            assert not any(each in piece for each in FAILED), piece
            rest = piece[max(len(piece) - KEPT_BYTES, found[-1].end() if found else 0) :]
