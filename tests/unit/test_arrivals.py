"""How long the parts of a body are waited for while the process leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from foundation.clock import SystemClock
from foundation.errors import Draining
from foundation.telemetry import Health
from routing import Arrivals


@pytest.fixture
def health() -> Health:
    return Health(SystemClock())


@pytest.fixture
async def arrivals(health: Health) -> AsyncIterator[Arrivals]:
    made = Arrivals(health)
    await made.start()
    yield made
    await made.stop()


async def test_a_part_that_is_asked_for_after_the_signal_is_not_waited_for(
    health: Health, arrivals: Arrivals
) -> None:
    health.begin_draining()
    # Whoever waited then has been sent away.
    await asyncio.sleep(0.01)

    async with asyncio.timeout(5):
        with pytest.raises(Draining):
            async with arrivals.receiving():
                await asyncio.Event().wait()


async def test_a_part_that_is_there_is_taken_after_the_signal(health: Health, arrivals: Arrivals) -> None:
    health.begin_draining()
    part: asyncio.Queue[bytes] = asyncio.Queue()
    part.put_nowait(b"{}")

    async with arrivals.receiving():
        assert await part.get() == b"{}"
