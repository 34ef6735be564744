"""Replicas that are killed, told to go or frozen, and started again, as a platform does with them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.hardening.ground import Ground
from tests.support.process import ServerProcess

__all__ = ["Fleet", "Place"]

LOOK_S = 0.02
# What a replica may leave in its log; a run that prints without end must not fill the disk.
MOST_LOG_BYTES = 10_000_000


@dataclass
class Place:
    """One of the replicas; what stands there changes, and has another name in each of its lives.

    Attributes:
        server: None while there is none that is ready.
    """

    number: int
    role: str = "all"
    life: int = 0
    server: ServerProcess | None = None
    frozen: bool = False
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def name(self) -> str:
        """What `switchyard.runs.worker` of its runs begins with."""
        return f"place-{self.number}-{self.life}-"

    @property
    def url(self) -> str:
        assert self.server is not None
        return str(self.server.client.base_url).rstrip("/")

    def hold(self) -> None:
        """Let it do nothing for a while."""
        if self.server is not None:
            self.server.stop()
            self.frozen = True

    def let_go(self) -> None:
        if self.server is not None:
            self.server.resume()
            self.frozen = False


class Fleet:
    def __init__(self, ground: Ground, *, settings: dict[str, str]) -> None:
        self.places: list[Place] = []
        self.deaths: Counter[str] = Counter()  # of those that nobody here has killed, by how they ended
        self.most_tries = 3  # of starting one; it may die meanwhile, or the machine be too busy
        self._ground = ground
        self._settings = settings
        self._starting: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []

    @classmethod
    @asynccontextmanager
    async def of(cls, ground: Ground, *, places: int, **settings: str) -> AsyncIterator[Fleet]:
        """So many replicas that are ready."""
        fleet = cls(ground, settings=settings)
        fleet.places = [Place(number) for number in range(places)]
        try:
            await asyncio.gather(*(fleet.start(place) for place in fleet.places))
            yield fleet
        finally:
            for task in fleet._starting:
                task.cancel()
            await asyncio.gather(*fleet._starting, return_exceptions=True)
            for place in fleet.places:
                await place._stack.aclose()

    @property
    def alive(self) -> list[Place]:
        return [place for place in self.places if place.server is not None and not place.frozen]

    async def door(self, *, but: Place | None = None) -> Place:
        """One that answers callers, by the dice; waits for one."""
        while True:
            self._check()
            doors = [each for each in self.alive if each.role != "worker" and each is not but]
            if doors:
                return self._ground.dice.choice(doors)
            await asyncio.sleep(LOOK_S)

    async def until_all(self) -> None:
        """Return once every replica is ready."""
        while len(self.alive) < len(self.places):
            self._check()
            await asyncio.sleep(LOOK_S)

    async def _start(self, place: Place, settings: dict[str, str]) -> None:
        place.life += 1
        configured = {
            **self._settings,
            "ROLE": place.role,
            "RAILWAY_REPLICA_ID": place.name.rstrip("-"),
            **settings,
        }
        log_file = self._ground.folder / f"{place.name}.log"
        server = await place._stack.enter_async_context(self._ground.replica(log_file=log_file, **configured))
        place.server = server

    async def kill(self, places: Sequence[Place]) -> float:
        """SIGKILL to all of them at once; when it was, by the machine's monotonic clock."""
        servers = [place.server for place in places if place.server is not None]
        for place in places:
            place.server = None
        at_s = time.monotonic()
        await asyncio.gather(*(server.kill() for server in servers))
        await asyncio.gather(*(self.clear(place) for place in places))
        return at_s

    async def clear(self, place: Place) -> None:
        """What is left of a replica that has ended."""
        place.server, place.frozen = None, False
        await place._stack.aclose()
        log_file = self._ground.folder / f"{place.name}.log"
        if log_file.exists() and log_file.stat().st_size > MOST_LOG_BYTES:
            log_file.unlink()

    def start_again(self, *places: Place, **settings: str) -> None:
        """Meanwhile all else goes on."""
        for place in places:
            task = asyncio.create_task(self.start(place, **settings))
            self._starting.add(task)
            task.add_done_callback(self._started)

    async def start(self, place: Place, **settings: str) -> None:
        for tried in range(1, self.most_tries + 1):
            try:
                await self._start(place, settings)
            except (AssertionError, TimeoutError):
                if tried == self.most_tries:
                    raise
                self.deaths["while starting"] += 1
                await self.clear(place)
            else:
                return

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.append(error)

    def _check(self) -> None:
        if self._failed:
            raise AssertionError(f"a replica could not be started: {self._failed[0]!r}")
