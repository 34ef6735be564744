"""Replicas that are killed and come back with the same address, so that a client may hold on to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import httpx2
import orjson

from tests.hardening.ground import Ground
from tests.support.counted import Counted
from tests.support.process import free_port
from tests.support.readers import Replica

__all__ = ["Seat", "alarms", "seated"]

# What agents do by themselves, and are made to do here.
EXPECTED = frozenset({"agent_failed"})


class Seat:
    """
    Attributes:
        replica: whoever sits here, for readers.
        client: of somebody with the token, and for whoever sits here.
    """

    def __init__(self, ground: Ground, *, token: str, number: int) -> None:
        self.port = free_port()
        self.replica = Replica(f"http://127.0.0.1:{self.port}", token, is_there=False)
        self.client = httpx2.AsyncClient(
            base_url=self.replica.url,
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )
        self._ground = ground
        self._number = number
        self._lives = count(1)
        self._life = AsyncExitStack()
        self._counted: Counted | None = None

    async def sit(self) -> None:
        name = f"replica-{self._number}-{next(self._lives)}"
        log_file, count_file = self._ground.folder / f"{name}.log", self._ground.folder / f"{name}.tasks"
        settings = {"PORT": str(self.port), "COUNT_FILE": str(count_file)}
        self.server = await self._life.enter_async_context(
            self._ground.replica(log_file=log_file, **settings)
        )
        self._counted = Counted(self.server, count_file=count_file, log_file=log_file)
        self.replica.is_there = True

    async def die(self) -> None:
        """Everything in it is gone at once."""
        self._counted = None
        self.replica.is_there = False
        self.replica.deaths += 1
        await self._life.aclose()

    async def tasks(self) -> Counter[str]:
        """What it does, once it does nothing for anybody."""
        assert self._counted is not None
        return Counter((await self._counted.settled()).tasks)

    async def left(self, *, but: Counter[str]) -> tuple[float, dict[str, int]]:
        """How many readers it counts, and which tasks it has besides those it always has."""
        assert self._counted is not None
        held = await self._counted.held()
        return held.readers, dict(Counter(held.tasks) - but)


@asynccontextmanager
async def seated(ground: Ground, *, token: str, seats: int) -> AsyncIterator[list[Seat]]:
    every = [Seat(ground, token=token, number=number) for number in range(seats)]
    try:
        await asyncio.gather(*(seat.sit() for seat in every))
        yield every
    finally:
        await asyncio.gather(*(seat.die() for seat in every), *(seat.client.aclose() for seat in every))


def alarms(ground: Ground) -> list[str]:
    """What replicas have written that would wake somebody up; each says no more than its errors."""
    written = "".join(file.read_text() for file in sorted(ground.folder.glob("replica-*.log")))
    return [line for line in written.splitlines() if _event(line) not in EXPECTED]


def _event(line: str) -> str:
    try:
        return str(orjson.loads(line)["event"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return line
