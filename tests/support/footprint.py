"""What a server takes of a machine: its own memory, and what the system keeps for who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

__all__ = ["Footprint", "measured"]

LOOK_S: Final = 0.2
TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass
class Footprint:
    """In bytes; `most_…` is the largest that was seen.

    Attributes:
        unsent: written to the system, and not taken by a client.
    """

    before: int
    most: int
    most_unsent: int = 0

    @property
    def grown(self) -> int:
        """The process and the system together."""
        return self.most - self.before + self.most_unsent


@asynccontextmanager
async def measured(pid: int, *, port: int) -> AsyncIterator[Footprint]:
    """Look again and again at process `pid`, which listens on `port`, until the block ends."""
    process = psutil.Process(pid)
    before = process.memory_info().rss
    footprint = Footprint(before, before)

    async def look() -> None:
        while True:
            footprint.most = max(footprint.most, process.memory_info().rss)
            footprint.most_unsent = max(footprint.most_unsent, unsent_bytes(port))
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look())
    try:
        yield footprint
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def unsent_bytes(port: int) -> int:
    """In all send queues of connections whose end here is `port`, whoever they belong to by now."""
    total = 0
    for table in TABLES:
        for line in table.read_text().splitlines()[1:]:
            _, local, _, _, queues = line.split()[:5]
            if int(local.rpartition(":")[2], 16) == port:
                total += int(queues.partition(":")[0], 16)
    return total
