"""A stream of events, from its first block to each of its ends, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from starlette.types import Message

from foundation.errors import DatabaseUnavailable, RateLimited
from foundation.telemetry import Metrics
from heavy_agents.events import Event
from routing.readers import Readers
from routing.sse import HELLO, PING, goodbye
from routing.stream import EventStream, Tempo
from routing.taking import TAKEN_ENOUGH

RUN = UUID("01a204b8-30f5-7518-88a6-b9cf00d00c07")
STARTED = Event(1, "started", {})
DONE = Event(2, "done", {"response": "r"})
LIMIT_S = 5


class Client:
    """The other end: what it got, whether it reads, and whether it left."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.has_left = asyncio.Event()
        self.news = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.stops_at: bytes | None = None

    async def receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)
        if self.stops_at is not None and self.stops_at in message.get("body", b""):
            self.reads.clear()
        self.news.set()

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)

    @property
    def is_complete(self) -> bool:
        return self.got[-1].get("more_body") is False

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self.news.clear()
                await self.news.wait()


class Source:
    """A run whose events the test lets go; it remembers what it was asked for, and whether it was closed."""

    def __init__(self, *batches: list[Event], then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.is_closed = False
        self.asked = 0
        self._batches = batches
        self._then = then

    async def follow(self) -> AsyncIterator[list[Event]]:
        try:
            for batch in self._batches:
                self.asked += 1
                yield batch
            if self._then is not None:
                await self._then()
        finally:
            self.is_closed = True


async def forever() -> None:
    await asyncio.Event().wait()


async def break_down() -> None:
    raise DatabaseUnavailable("gone")


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def readers() -> Readers:
    return Readers()


def answer(
    source: Source, readers: Readers, *, metrics: Metrics | None = None, **tempo: float
) -> EventStream:
    return EventStream(
        source.follow(),
        user_id=uuid4(),
        run_id=RUN,
        readers=readers,
        metrics=metrics or Metrics(),
        tempo=Tempo(**tempo),
    )


async def run(stream: EventStream, client: Client) -> None:
    scope = {"type": "http", "extensions": {TAKEN_ENOUGH: {"wait": client.reads.wait}}}
    async with asyncio.timeout(LIMIT_S):
        await stream(scope, client.receive, client.send)


async def test_a_stream_ends_after_the_terminal_event(client: Client, readers: Readers) -> None:
    source = Source([STARTED], [DONE])

    await run(answer(source, readers), client)

    assert client.text.startswith(HELLO)
    assert client.text.count(b"data: ") == 2
    assert client.is_complete
    assert source.is_closed


async def test_silence_is_broken_by_pings(client: Client, readers: Readers) -> None:
    streaming = asyncio.create_task(
        run(answer(Source([STARTED], then=forever), readers, ping_s=0.01), client)
    )

    await client.until(lambda: client.text.count(PING) >= 2)

    client.has_left.set()
    await streaming


async def test_a_client_that_leaves_ends_the_stream(client: Client, readers: Readers) -> None:
    source = Source([STARTED], then=forever)
    streaming = asyncio.create_task(run(answer(source, readers), client))
    await client.until(lambda: b"started" in client.text)

    client.has_left.set()
    await streaming

    assert source.is_closed
    assert not client.is_complete


async def test_while_a_client_takes_nothing_its_run_is_not_asked_for_more(
    client: Client, readers: Readers
) -> None:
    source, client.stops_at = Source([STARTED], [DONE]), b"started"
    streaming = asyncio.create_task(run(answer(source, readers), client))
    await client.until(lambda: b"started" in client.text)
    for _ in range(10):
        await asyncio.sleep(0)

    assert source.asked == 1

    client.reads.set()
    await streaming
    assert b"done" in client.text


async def test_an_old_stream_asks_its_client_to_come_back(client: Client, readers: Readers) -> None:
    await run(answer(Source([STARTED], then=forever), readers, life_s=0.01), client)

    assert client.text.endswith(goodbye(RUN))
    assert client.is_complete


async def test_nothing_is_told_after_the_end_of_a_run(client: Client, readers: Readers) -> None:
    source, client.stops_at = Source([STARTED], [DONE]), b"done"
    streaming = asyncio.create_task(run(answer(source, readers), client))
    await client.until(lambda: b"done" in client.text)

    await readers.drain()
    await streaming

    assert goodbye(RUN) not in client.text
    assert client.is_complete


async def test_a_shutdown_asks_every_client_to_come_back(client: Client, readers: Readers) -> None:
    streaming = asyncio.create_task(run(answer(Source([STARTED], then=forever), readers), client))
    await client.until(lambda: b"started" in client.text)

    await readers.drain()
    await streaming

    assert client.text.endswith(goodbye(RUN))
    assert client.is_complete


async def test_a_database_that_goes_away_is_a_reason_to_come_back(client: Client, readers: Readers) -> None:
    await run(answer(Source([STARTED], then=break_down), readers), client)

    assert client.text.endswith(goodbye(RUN))


async def test_a_client_that_left_cannot_stop_the_loop(client: Client, readers: Readers) -> None:
    async def endless() -> AsyncIterator[list[Event]]:
        while True:
            yield [STARTED]

    stream = answer(Source(), readers)
    stream._batches = endless()
    streaming = asyncio.create_task(run(stream, client))
    await client.until(lambda: client.text.count(b"data:") > 3)

    client.has_left.set()

    await streaming


async def test_readers_are_counted_while_they_read(client: Client, readers: Readers) -> None:
    metrics = Metrics()
    stream = answer(Source([STARTED], then=forever), readers, metrics=metrics)
    streaming = asyncio.create_task(run(stream, client))
    await client.until(lambda: b"started" in client.text)

    def counted() -> float | None:
        return metrics.registry.get_sample_value("heavy_agent_readers", {"transport": "sse"})

    assert counted() == 1
    client.has_left.set()
    await streaming
    assert counted() == 0


async def test_a_stream_that_breaks_off_by_our_fault_is_counted(client: Client, readers: Readers) -> None:
    metrics = Metrics()
    for then in (None, break_down):
        await run(answer(Source([STARTED], then=then), readers, metrics=metrics), client)

    assert metrics.registry.get_sample_value("heavy_agent_interrupted_total", {"transport": "sse"}) == 1


def test_a_user_reads_so_much_and_no_more() -> None:
    readers, user, other = Readers(max_a_user=1), uuid4(), uuid4()

    with readers.reading(user):
        with pytest.raises(RateLimited):
            readers.check(user)
        readers.check(other)
    readers.check(user)
