"""Replicas on one NATS that works: who hears of what, how often, and of nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamState
from nats.js.errors import NotFoundError

from foundation.hints import Queued
from foundation.hints.stream import STREAM, Rules, consumer_of
from tests.support.hints import a_kind, chunk, holds, replica, waiting
from tests.support.nats import NatsServer, running_nats
from tests.support.process import until

SECOND = Rules(ack_wait_s=0.2, deliveries=2)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[NatsServer]:
    """One for all tests of this file; their kinds and runs keep them apart."""
    async with running_nats() as running:
        yield running


@pytest.fixture
async def streams(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """Without the hints that others have left there."""
    async with server.client() as client:
        with suppress(NotFoundError):
            await client.jetstream().purge_stream(STREAM)
        yield client.jetstream()


async def kept(streams: JetStreamContext) -> StreamState:
    return (await streams.stream_info(STREAM)).state


async def empty(streams: JetStreamContext) -> None:
    async def is_empty() -> bool:
        return (await kept(streams)).messages == 0

    await until(is_empty, within_s=20)


async def test_a_waiting_run_is_told_to_who_has_room(server: NatsServer) -> None:
    kind = a_kind()
    async with (
        replica(server.url) as front,
        replica(server.url, kinds=[kind], free=0) as full,
        replica(server.url, kinds=[kind], free=8) as roomy,
    ):
        front.hints.queued(waiting(kind, count=5))
        await holds(lambda: roomy.works == 5)

        assert full.works == 0


async def test_a_run_is_also_told_to_who_has_made_it_wait(server: NatsServer) -> None:
    kind = a_kind()
    async with replica(server.url, kinds=[kind], free=1) as alone:
        alone.hints.queued(waiting(kind))

        await holds(lambda: alone.works == 1)


async def test_hints_wait_for_room(server: NatsServer, streams: JetStreamContext) -> None:
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind]) as worker:
        front.hints.queued(waiting(kind, count=3))

        async def have_come() -> bool:
            return (await kept(streams)).messages == 3

        await until(have_come, within_s=20)
        assert worker.works == 0

        worker.free = 3
        await holds(lambda: worker.works == 3)
        await empty(streams)


async def test_those_with_room_are_told_in_turn(server: NatsServer) -> None:
    kind = a_kind()
    async with (
        replica(server.url) as front,
        replica(server.url, kinds=[kind], free=20) as one,
        replica(server.url, kinds=[kind], free=20) as other,
    ):
        front.hints.queued(waiting(kind, count=20))
        await holds(lambda: one.works + other.works == 20)

        assert min(one.works, other.works) >= 5


async def test_a_hint_that_finds_the_last_place_taken_goes_to_who_has_one(server: NatsServer) -> None:
    kind = a_kind()
    async with (
        replica(server.url) as front,
        replica(server.url, kinds=[kind], free=1) as one,
        replica(server.url, kinds=[kind], free=1) as other,
    ):
        one.free = 0  # its request stands at the server all the same
        for _ in range(4):
            before = other.works
            front.hints.queued(waiting(kind))
            await holds(lambda before=before: other.works > before)  # type: ignore[misc]

        assert one.works == 0


async def test_a_kind_is_told_to_who_executes_it(server: NatsServer) -> None:
    first, second = a_kind(), "a kind: with *.> signs"
    async with (
        replica(server.url) as front,
        replica(server.url, kinds=[first], free=9) as one,
        replica(server.url, kinds=[second], free=9) as other,
    ):
        front.hints.queued([*waiting(first, count=2), *waiting(second, count=3), *waiting("unknown")])
        await holds(lambda: (one.works, other.works) == (2, 3))


async def test_a_hint_is_acknowledged_before_anything_is_claimed(
    server: NatsServer, streams: JetStreamContext
) -> None:
    """Whoever dies after that has taken nothing with them but a hint."""
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind], free=1) as worker:
        front.hints.queued(waiting(kind))
        await holds(lambda: worker.works == 1)
        await empty(streams)

        assert (await streams.consumer_info(STREAM, consumer_of(kind))).num_ack_pending == 0


async def test_a_hint_that_nobody_acknowledges_is_handed_out_so_often_and_no_more(
    server: NatsServer, streams: JetStreamContext
) -> None:
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind], rules=SECOND):
        dies = await streams.pull_subscribe_bind(consumer_of(kind), stream=STREAM)
        front.hints.queued(waiting(kind))

        taken = [(await dies.fetch(1, timeout=10))[0].metadata.num_delivered for _ in range(2)]
        with pytest.raises(nats.errors.TimeoutError):
            await dies.fetch(1, timeout=1)

        assert taken == [1, 2]
        await dies.unsubscribe()


async def test_a_hint_taken_by_one_who_died_goes_to_another(
    server: NatsServer, streams: JetStreamContext
) -> None:
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind], rules=SECOND) as worker:
        dies = await streams.pull_subscribe_bind(consumer_of(kind), stream=STREAM)
        front.hints.queued(waiting(kind))
        await dies.fetch(1, timeout=10)
        await dies.unsubscribe()

        worker.free = 1
        await holds(lambda: worker.works == 1)


async def test_what_two_say_of_the_same_wait_is_one_hint(
    server: NatsServer, streams: JetStreamContext
) -> None:
    kind, run = a_kind(), uuid4()
    first = Queued(run, 0, kind)
    said = [
        first,
        first,
        replace(first, epoch=1),
        replace(first, epoch=1, look=1),
        replace(first, epoch=1, look=1),
    ]
    async with replica(server.url) as front, replica(server.url, kinds=[kind]) as worker:
        before = (await kept(streams)).last_seq
        front.hints.queued(said)
        await front.hints.drain()
        after = await kept(streams)

        # Came to wait, came back to the queue, and was found waiting; only the last is kept.
        assert (after.last_seq - before, after.messages) == (3, 1)
        worker.free = 1
        await holds(lambda: worker.works == 1)


async def test_a_run_found_waiting_gets_through_when_its_hint_was_acknowledged_by_one_who_died(
    server: NatsServer,
) -> None:
    kind = a_kind()
    (run,) = waiting(kind)
    async with replica(server.url) as front, replica(server.url, kinds=[kind], free=1) as worker:
        front.hints.queued([run])
        await holds(lambda: worker.works == 1)

        front.hints.queued([replace(run, look=1)])

        await holds(lambda: worker.works == 2)


async def test_the_stream_keeps_so_many_and_the_newest(server: NatsServer, streams: JetStreamContext) -> None:
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind], rules=Rules(most_hints=5)):
        front.hints.queued(waiting(kind, count=20))
        await front.hints.drain()
        state = await kept(streams)

        assert (state.messages, state.last_seq - state.first_seq) == (5, 4)


@pytest.mark.parametrize(
    "found",
    [
        StreamConfig(name=STREAM, subjects=["switchyard.runs.>"], max_age=9.0),
        StreamConfig(name=STREAM, subjects=["something.else"]),
    ],
    ids=["kept otherwise", "for something else"],
)
async def test_a_stream_made_otherwise_is_changed(found: StreamConfig) -> None:
    async with running_nats() as server, server.client() as client:
        await client.jetstream().add_stream(found)

        async with replica(server.url, kinds=["chat"], free=1) as worker:
            worker.hints.queued(waiting("chat"))
            await holds(lambda: worker.works == 1)
            config = (await client.jetstream().stream_info(STREAM)).config

        assert (config.retention, config.storage, config.max_age) == ("workqueue", "memory", 60)


async def test_a_stream_whose_age_is_another_keeps_what_it_holds(
    server: NatsServer, streams: JetStreamContext
) -> None:
    kind = a_kind()
    async with replica(server.url) as front, replica(server.url, kinds=[kind], rules=Rules(age_s=30.0)):
        front.hints.queued(waiting(kind))
        await front.hints.drain()

        async with replica(server.url, kinds=[kind]) as later:
            later.free = 1
            await holds(lambda: later.works == 1)

        assert (await streams.stream_info(STREAM)).config.max_age == 60


async def test_a_wish_to_end_a_run_reaches_all_others(server: NatsServer) -> None:
    run = uuid4()
    async with replica(server.url) as one, replica(server.url) as other, replica(server.url) as third:
        one.hints.cancel(run)
        await holds(lambda: other.cancels == third.cancels == [run])

        assert one.cancels == []


async def test_events_reach_those_who_watch_the_run(server: NatsServer) -> None:
    run, another = uuid4(), uuid4()
    async with replica(server.url) as executes, replica(server.url) as watches, replica(server.url) as idle:
        await watches.watch(run)
        await executes.watch(run)

        executes.hints.stored({another: [chunk(1)], run: [chunk(1), chunk(2)]})
        executes.hints.stored({run: [chunk(3)]})
        await holds(lambda: len(watches.told) == 2)

        assert watches.told == [(run, [chunk(1), chunk(2)]), (run, [chunk(3)])]
        assert executes.told == idle.told == []


async def test_a_run_watched_no_more_is_told_no_more(server: NatsServer) -> None:
    run, mark = uuid4(), uuid4()
    async with replica(server.url) as executes, replica(server.url) as watches:
        await watches.watch(run)
        watches.hints.unwatch(run)
        await watches.watch(mark)

        executes.hints.stored({run: [chunk(1)], mark: [chunk(1)]})
        await holds(lambda: bool(watches.told))

        assert watches.told == [(mark, [chunk(1)])]


async def test_a_thousand_runs_are_watched_at_once(server: NatsServer) -> None:
    runs = [uuid4() for _ in range(1000)]
    async with replica(server.url) as executes, replica(server.url) as watches:
        for run in runs:
            watches.hints.watch(run)
        await holds(lambda: len(watches.told) == len(runs))
        watches.told.clear()

        executes.hints.stored({run: [chunk(1)] for run in runs})
        await holds(lambda: len(watches.told) == len(runs))

        assert {run for run, _ in watches.told} == set(runs)
        assert executes.figure("dropped_total") == 0


@pytest.mark.parametrize(
    "rows",
    [[chunk(1, "x" * 2_000_000)], [{"seq": 1, "type": "chunk", "data": {"n": 2**70}}]],
    ids=["too large", "a number JSON cannot carry"],
)
async def test_events_that_cannot_be_carried_are_told_to_be_in_the_log(
    server: NatsServer, rows: list[dict[str, object]]
) -> None:
    run = uuid4()
    async with replica(server.url) as executes, replica(server.url) as watches:
        await watches.watch(run)

        executes.hints.stored({run: rows})  # type: ignore[dict-item]
        await holds(lambda: bool(watches.told))

        assert watches.told == [(run, None)]
        assert executes.hints.are_heard


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[1]",
        b'[{"seq": true, "type": "a", "data": {}}]',
        b'[{"seq": 1, "type": "a"}]',
    ],
)
async def test_what_a_stranger_says_of_a_run_only_makes_others_look(
    server: NatsServer, payload: bytes
) -> None:
    run = uuid4()
    async with replica(server.url) as watches, server.client() as stranger:
        await watches.watch(run)

        await stranger.publish("switchyard.cancel", payload)
        await stranger.publish(f"switchyard.events.{run}", payload)
        await holds(lambda: bool(watches.told))

        assert (watches.told, watches.cancels) == ([(run, None)], [])


async def test_what_is_told_last_still_leaves(server: NatsServer) -> None:
    """A replica that goes has given its runs back a moment before."""
    kind = a_kind()
    async with replica(server.url, kinds=[kind], free=9) as stays:
        async with replica(server.url) as goes:
            goes.hints.queued(waiting(kind, count=9))

        await holds(lambda: stays.works == 9)


async def test_what_is_too_much_to_tell_is_dropped_and_counted(server: NatsServer) -> None:
    async with replica(server.url) as one, replica(server.url) as other:
        for _ in range(5000):
            one.hints.cancel(uuid4())
        await holds(lambda: len(other.cancels) == 4096)

        assert one.figure("dropped_total") == 904
