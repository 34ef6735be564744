"""Each wait has its own limit, though one timer serves them all."""

from __future__ import annotations

import asyncio

import pytest

from foundation.outbound.waits import Waits


async def test_a_wait_ends_at_its_limit_and_what_is_waited_for_is_cancelled() -> None:
    waits, forever = Waits(), asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        await waits.within(0.01, forever)

    assert forever.cancelled()
    assert await waits.within(0.01, asyncio.sleep(0, "the next one")) == "the next one"


async def test_many_waits_together_may_take_longer_than_the_limit_of_one() -> None:
    waits, clock = Waits(), asyncio.get_running_loop()
    began_s = clock.time()

    for _ in range(20):
        await waits.within(0.1, asyncio.sleep(0.01))

    assert clock.time() - began_s > 0.1


async def test_a_shorter_limit_after_a_longer_one_counts() -> None:
    waits = Waits()
    await waits.within(60, asyncio.sleep(0))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await waits.within(0.01, asyncio.Event().wait())


async def test_time_between_two_waits_is_nobodys_delay() -> None:
    waits = Waits()
    await waits.within(0.01, asyncio.sleep(0))

    await asyncio.sleep(0.03)

    assert await waits.within(0.01, asyncio.sleep(0, "in time")) == "in time"


async def test_who_is_cancelled_while_waiting_is_cancelled() -> None:
    waiting = asyncio.create_task(Waits().within(60, asyncio.Event().wait()))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_limit_around_it_is_not_taken_for_its_own() -> None:
    async def wait_long() -> None:
        try:
            await Waits().within(60, asyncio.Event().wait())
        except TimeoutError:
            pytest.fail("it is the limit around that has passed")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait_long()


async def test_no_limit_is_no_limit() -> None:
    assert await Waits().within(None, asyncio.sleep(0, "whenever")) == "whenever"
