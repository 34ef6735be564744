"""Replicas as far as they tell each other things: one that listens, and what it has heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from foundation.errors import HeavyError, Json
from foundation.hints import NatsHints, Queued
from foundation.hints.stream import Rules
from foundation.telemetry import Metrics
from tests.support.hearers import Hearer
from tests.support.process import until

__all__ = ["Replica", "a_kind", "chunk", "holds", "replica", "waiting"]

WITHIN_S = 20.0


class Replica(Hearer):
    """A process of which only the hints are there; it has `free` places."""

    def __init__(self, url: str, *, kinds: Sequence[str], free: int, rules: Rules | None) -> None:
        super().__init__(kinds, free)
        self.metrics = Metrics()
        self.hints = NatsHints(url, metrics=self.metrics, rules=rules)
        self.hints.listen(self)

    async def watch(self, run_id: UUID) -> None:
        """Its events come when this returns."""
        self.hints.watch(run_id)
        await holds(lambda: (run_id, None) in self.told)
        self.told.remove((run_id, None))

    async def heard(self) -> None:
        await holds(lambda: self.hints.are_heard)

    async def alone(self) -> None:
        await holds(lambda: not self.hints.are_heard)

    async def says(self) -> str:
        """What readiness says of it."""
        try:
            await self.hints.check()
        except HeavyError as error:
            return error.detail
        return "ok"

    def figure(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(f"heavy_agent_hints_{name}")
        assert found is not None
        return found


@asynccontextmanager
async def replica(
    url: str,
    *,
    kinds: Sequence[str] = (),
    free: int = 0,
    rules: Rules | None = None,
    is_heard: bool = True,
) -> AsyncIterator[Replica]:
    """
    Args:
        is_heard: whether to wait until it is, and until it can take what waits.
    """
    one = Replica(url, kinds=kinds, free=free, rules=rules)
    await one.hints.start()
    try:
        if is_heard:
            await one.heard()
            if kinds:
                # It looks once when it begins to take from the stream.
                await holds(lambda: one.works == 1)
                one.works = 0
        yield one
    finally:
        await one.hints.drain()
        await one.hints.stop()


async def holds(claim: Callable[[], bool]) -> None:
    """Wait until `claim` does."""

    async def asked() -> bool:
        return claim()

    await until(asked, within_s=WITHIN_S)


def a_kind() -> str:
    """One that no other test has."""
    return f"kind-{uuid4().hex[:12]}"


def waiting(kind: str, *, count: int = 1) -> list[Queued]:
    return [Queued(uuid4(), 0, kind) for _ in range(count)]


def chunk(seq: int, text: str = "hello") -> dict[str, Json]:
    return {"seq": seq, "type": "chunk", "data": {"content": text}}
