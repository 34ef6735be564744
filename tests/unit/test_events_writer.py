"""A writer never leaves anybody waiting: it stores, or it says that it cannot."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from heavy_agents.events import RESERVED, TERMINAL, LeaseLost, Writer
from heavy_agents.events.writer import BUFFER_BYTES, ENTRY_BYTES


def writer() -> Writer:
    return Writer(uuid4(), uuid4(), last_seq=1, notify=lambda: None)


async def test_closing_waits_for_the_batch_under_way_and_hands_over_the_rest() -> None:
    own = writer()
    await own.emit("note", {"number": 1})
    batch = own.take()
    await own.emit("note", {"number": 2})
    closing = asyncio.create_task(own.close())
    await asyncio.sleep(0)
    assert not closing.done()

    assert own.confirm() == batch

    assert [(event.seq, event.data) for event in await closing] == [(3, {"number": 2})]


async def test_a_batch_that_was_not_confirmed_is_sent_again_unchanged() -> None:
    own = writer()
    await own.emit("note", {"number": 1})
    first = own.take()
    await own.emit("note", {"number": 2})

    assert own.take() == first


@pytest.mark.parametrize("wait", ["close", "flushed"])
async def test_whoever_waits_is_told_when_nothing_more_can_be_stored(wait: str) -> None:
    own = writer()
    await own.emit("note", {})
    own.take()
    waiting = asyncio.create_task(own.close() if wait == "close" else own.flushed())
    await asyncio.sleep(0)

    own.fail(LeaseLost())

    with pytest.raises(LeaseLost):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(LeaseLost):
        await own.emit("note", {})


async def test_a_full_buffer_makes_the_agent_wait_until_there_is_room() -> None:
    own = writer()
    for _ in range(17):
        await own.emit("note", {"text": "x" * 60_000})
    blocked = asyncio.create_task(own.emit("note", {"text": "x" * 60_000}))
    await asyncio.sleep(0)
    assert not blocked.done()

    own.take()
    own.confirm()

    await asyncio.wait_for(blocked, 5)


async def test_so_many_small_events_that_they_take_a_megabyte_of_memory_fill_the_buffer() -> None:
    own, emitted = writer(), 0

    async def emit_for_ever() -> None:
        nonlocal emitted
        while True:
            await own.emit("chunk", {"content": "a"})
            emitted += 1

    agent = asyncio.create_task(emit_for_ever())
    await asyncio.sleep(0)
    agent.cancel()

    assert 3_000 < emitted <= BUFFER_BYTES / ENTRY_BYTES


@pytest.mark.parametrize("name", sorted(RESERVED | TERMINAL))
async def test_a_name_that_readers_take_for_something_else_is_refused(name: str) -> None:
    own = writer()

    with pytest.raises(ValueError, match=name):
        await own.emit(name, {})

    assert not own.is_dirty
