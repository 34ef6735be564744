"""Handing events to many readers: a few in a turn of the loop, each of them everything in order."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from uuid import uuid4

from foundation.db import PoolDatabase
from heavy_agents.events import Event, Hub
from heavy_agents.events.hub import A_TURN, Subscription

RUN = uuid4()
READERS = 3 * A_TURN + 1
LIMIT_S = 5


def hub() -> Hub:
    """Not started: it asks no database."""
    return Hub(PoolDatabase("postgresql://nowhere.invalid/x", size=1))


def note(seq: int) -> list[Event]:
    return [Event(seq, "note", {})]


async def read(subscription: Subscription, seen: list[int], *, events: int) -> None:
    while len(seen) < events:
        taken = await subscription.take(seen[-1] if seen else 0)
        assert taken is not None, "the reader was sent back to the log"
        seen += [event.seq for event in taken]


async def test_a_crowd_of_readers_is_woken_a_few_in_a_turn() -> None:
    handing, seen = hub(), [list[int]() for _ in range(READERS)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(_subscribed(handing, each, events=1)) for each in seen]
        await asyncio.sleep(0)
        handing.publish(RUN, note(1))

        had = 0
        while not all(reader.done() for reader in readers):
            await asyncio.sleep(0)
            have = sum(map(len, seen))
            assert have - had <= A_TURN
            had = have

    assert seen == [[1]] * READERS


async def test_events_that_come_while_readers_are_woken_reach_each_in_order() -> None:
    handing, seen = hub(), [list[int]() for _ in range(READERS)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        for each in seen:
            tasks.create_task(_subscribed(handing, each, events=4))
        await asyncio.sleep(0)
        for seq in range(1, 5):
            handing.publish(RUN, note(seq))
            await asyncio.sleep(0)

    assert seen == [[1, 2, 3, 4]] * READERS


async def test_what_comes_faster_than_readers_are_woken_is_no_more_to_do_for_each_of_them() -> None:
    handing = hub()
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(handing.subscribe(RUN))
        for seq in range(1, 101):
            handing.publish(RUN, note(seq))

        assert len(handing._asleep) <= READERS


async def test_a_reader_that_leaves_before_it_is_woken_keeps_no_other_waiting() -> None:
    handing, seen = hub(), [list[int]() for _ in range(READERS)]
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(_subscribed(handing, each, events=1)) for each in seen]
        await asyncio.sleep(0)
        handing.publish(RUN, note(1))
        for reader in readers[1::2]:
            reader.cancel()

    assert all(seen[::2])


async def _subscribed(handing: Hub, seen: list[int], *, events: int) -> None:
    with handing.subscribe(RUN) as subscription:
        await read(subscription, seen, events=events)
