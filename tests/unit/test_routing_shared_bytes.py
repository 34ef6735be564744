"""What is made of an event: once for all who read it, except for what is said to one of them alone."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import orjson
import pytest
from websockets.frames import Frame, Opcode

from heavy_agents.events import Event
from routing.batched import WRITE_BYTES, batched, taken
from routing.socket.frames import frames
from routing.socket.outbound import event_text
from routing.sse import blocks, frame

RUN = UUID("01a204b8-30f5-7518-88a6-b9cf00d00c07")


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """How much memory is taken since, and not given back."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_readers_of_one_event_share_its_bytes() -> None:
    event = Event(2, "chunk", {"content": "word"})

    assert frame(RUN, event) is frame(RUN, event)
    assert event_text(RUN, event) is event_text(RUN, event)
    assert event_text(RUN, event) not in frame(RUN, event)


def test_a_reader_of_its_own_holds_an_event_once() -> None:
    event = Event(2, "chunk", {"content": "word"}, is_shared=False)

    assert event_text(RUN, event) == event_text(RUN, event)
    assert event_text(RUN, event) is not event_text(RUN, event)
    assert frame(RUN, event) is not frame(RUN, event)


@pytest.mark.parametrize("chars", [10, 1_100, 20_000])
def test_what_waits_for_a_reader_takes_no_more_memory_than_it_has_bytes(chars: int) -> None:
    events = [Event(seq, "chunk", {"content": "x" * chars}) for seq in range(100)]

    with traced() as taken_bytes:
        texts = [event_text(RUN, event) for event in events]

    assert taken_bytes() < 2 * sum(map(len, texts)) + 100_000


def test_bytes_of_one_run_are_not_told_of_another() -> None:
    event, other = Event(2, "chunk", {"content": "word"}), uuid4()

    assert str(RUN).encode() in frame(RUN, event)
    assert str(other).encode() in frame(other, event)
    assert event_text(RUN, event) != event_text(other, event)


def test_a_request_id_is_told_only_to_the_socket_that_gave_it() -> None:
    event = Event(1, "started", {"agentId": "a"})
    plain = orjson.loads(event_text(RUN, event))

    assert orjson.loads(event_text(RUN, event, request_id="mine")) == {**plain, "requestId": "mine"}
    assert orjson.loads(event_text(RUN, event)) == plain


def test_a_request_id_is_told_with_the_start_alone() -> None:
    event = Event(2, "chunk", {"content": "word"})

    assert event_text(RUN, event, request_id="mine") == event_text(RUN, event)


@pytest.mark.parametrize("size_bytes", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
def test_a_frame_is_the_one_the_library_would_send(size_bytes: int) -> None:
    text = b"x" * size_bytes

    assert frames([text]) == Frame(Opcode.TEXT, text).serialize(mask=False)


def test_several_texts_are_as_many_frames() -> None:
    assert frames([b"a", b"", b"bc"]) == frames([b"a"]) + frames([b""]) + frames([b"bc"])


def test_what_was_handed_on_is_let_go() -> None:
    events = [Event(seq, "chunk", {"content": "x" * 4_000}, is_shared=False) for seq in range(20)]
    parts = (bytes([number]) * WRITE_BYTES for number in range(3))

    next(blocks(RUN, taken(events)))
    written = next(iterator := batched(parts))

    assert [event.seq for event in reversed(events)] == list(range(4, 20))
    # The name here, and the argument: the iterator itself holds it no more.
    assert sys.getrefcount(written) == 2
    assert len(list(iterator)) == 2


def test_a_write_is_bounded_and_nothing_is_lost() -> None:
    parts = [bytes([number]) * 5_000 for number in range(20)]
    batches = list(batched(parts))

    assert [part for batch in batches for part in batch] == parts
    assert all(sum(map(len, batch[:-1])) < WRITE_BYTES for batch in batches)
    assert len(batches) < len(parts)
