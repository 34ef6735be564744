from __future__ import annotations

import asyncio

import pytest

from foundation.lifecycle import Lifecycle, TaskOwner


class Recorder:
    """A service that writes down what it is told, and fails where it is asked to."""

    def __init__(
        self,
        name: str,
        told: list[str],
        *,
        fails: str = "",
        drain_for_ever: bool = False,
        stop_for_ever: bool = False,
    ) -> None:
        self._name = name
        self._told = told
        self._fails = fails
        self._drain_for_ever = drain_for_ever
        self._stop_for_ever = stop_for_ever

    async def start(self) -> None:
        self._note("start")

    async def drain(self) -> None:
        self._note("drain")
        if self._drain_for_ever:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        self._note("stop")
        if self._stop_for_ever:
            await asyncio.Event().wait()

    def _note(self, verb: str) -> None:
        self._told.append(f"{verb} {self._name}")
        if verb == self._fails:
            raise RuntimeError(verb)


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    told: list[str] = []
    lifecycle = Lifecycle([Recorder("a", told), Recorder("b", told)])

    await lifecycle.start()
    await lifecycle.stop()

    assert told == ["start a", "start b", "stop b", "stop a"]


async def test_a_failed_start_stops_what_had_begun() -> None:
    told: list[str] = []
    lifecycle = Lifecycle([Recorder("a", told), Recorder("b", told, fails="start"), Recorder("c", told)])

    with pytest.raises(RuntimeError):
        await lifecycle.start()

    assert told == ["start a", "start b", "stop b", "stop a"]


async def test_a_service_that_cannot_stop_keeps_no_other_from_stopping() -> None:
    told: list[str] = []
    lifecycle = Lifecycle([Recorder("a", told), Recorder("b", told, fails="stop")])
    await lifecycle.start()

    await lifecycle.stop()

    assert told[-2:] == ["stop b", "stop a"]


async def test_services_drain_in_reverse_one_after_the_other_and_once() -> None:
    told: list[str] = []
    lifecycle = Lifecycle([Recorder("a", told), Recorder("b", told)])
    await lifecycle.start()

    await lifecycle.drain(within_s=5)
    await lifecycle.drain(within_s=5)

    assert told[2:] == ["drain b", "drain a"]


async def test_a_drain_ends_in_time_and_each_has_its_turn_though_two_never_end() -> None:
    told: list[str] = []
    lifecycle = Lifecycle(
        [
            Recorder("a", told),
            Recorder("b", told, drain_for_ever=True),
            Recorder("c", told, fails="drain"),
            Recorder("d", told, drain_for_ever=True),
        ]
    )
    await lifecycle.start()

    async with asyncio.timeout(5):
        await lifecycle.drain(within_s=0.05)

    assert told[4:] == ["drain d", "drain c", "drain b", "drain a"]


async def test_a_stop_ends_in_time_and_each_has_its_turn_though_one_never_ends() -> None:
    told: list[str] = []
    lifecycle = Lifecycle([Recorder("a", told), Recorder("b", told, stop_for_ever=True)])
    await lifecycle.start()

    async with asyncio.timeout(5):
        await lifecycle.stop(within_s=0.05)

    assert told[2:] == ["stop b", "stop a"]


async def test_an_owner_ends_its_tasks_with_itself() -> None:
    owner = TaskOwner("test")
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    owner.spawn("waits", wait_for_ever())
    await asyncio.sleep(0)
    await owner.stop()

    assert ended.is_set()
    assert len(owner) == 0


async def test_periodic_work_goes_on_after_a_failure() -> None:
    owner = TaskOwner("test")
    calls = 0
    twice = asyncio.Event()

    async def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            twice.set()
        raise RuntimeError("each time")

    owner.every("fails", seconds=0, work=fail)

    async with asyncio.timeout(5):
        await twice.wait()
    await owner.stop()
