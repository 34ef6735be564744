"""Under load a run's text is stored at most 20 times a second; with few runs nobody waits."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from heavy_agents.events import Writer
from heavy_agents.events.pace import BUSY_RUNS, TEXT_S, has_only_text, ready


async def writers(count: int) -> list[Writer]:
    made = [Writer(uuid4(), uuid4(), last_seq=1, notify=lambda: None) for _ in range(count)]
    for writer in made:
        await writer.emit("chunk", {"content": "word "})
    return made


def store(due: list[Writer], *, now_s: float) -> None:
    for writer in due:
        writer.take()
        writer.confirm()
        writer.text_stored_s = now_s


async def test_with_few_runs_nobody_waits() -> None:
    few = await writers(BUSY_RUNS)
    store(few, now_s=10.0)
    for writer in few:
        await writer.emit("chunk", {"content": "more"})

    assert ready(few, now_s=10.001) == (few, False)


async def test_under_load_text_just_stored_waits_and_the_rest_does_not() -> None:
    many = await writers(BUSY_RUNS + 2)
    store(many[:2], now_s=10.0)
    for writer in many[:2]:
        await writer.emit("chunk", {"content": "more"})

    due, is_paced = ready(many, now_s=10.001)

    assert due == many[2:]
    assert is_paced
    assert ready(many, now_s=10.0 + TEXT_S) == (many, False)


async def test_what_is_more_than_text_never_waits() -> None:
    many = await writers(BUSY_RUNS + 1)
    store(many, now_s=10.0)
    for writer in many:
        await writer.emit("chunk", {"content": "more"})
    await many[3].emit("tool_call", {"name": "now"})

    assert ready(many, now_s=10.001) == ([many[3]], True)


async def test_the_first_text_of_a_run_is_more_than_text() -> None:
    [writer] = await writers(1)
    is_first_urgent = not has_only_text([writer])

    store([writer], now_s=10.0)
    await writer.emit("chunk", {"content": "more"})

    assert is_first_urgent
    assert has_only_text([writer])


async def test_text_somebody_waits_for_does_not_wait() -> None:
    many = await writers(BUSY_RUNS + 1)
    store(many, now_s=10.0)
    for writer in many:
        await writer.emit("chunk", {"content": "more"})
    waiting = asyncio.create_task(many[5].flushed())
    await asyncio.sleep(0)

    due, _ = ready(many, now_s=10.001)
    store(many, now_s=10.002)

    assert due == [many[5]]
    await waiting


@settings(max_examples=30, deadline=None)
@given(gaps_ms=st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_no_second_under_load_holds_more_than_twenty_rows_of_a_run(gaps_ms: list[int]) -> None:
    async def stored_at_ms() -> list[int]:
        many, now_ms, at = await writers(BUSY_RUNS + 1), 0, []
        for gap_ms in gaps_ms:
            now_ms += gap_ms
            due, _ = ready(many, now_s=now_ms / 1000)
            if many[0] in due:
                at.append(now_ms)
            store(due, now_s=now_ms / 1000)
            for writer in many:
                await writer.emit("chunk", {"content": "more"})
        return at

    at = asyncio.run(stored_at_ms())

    for first in at:
        assert sum(first <= each < first + 1000 for each in at) <= 20
