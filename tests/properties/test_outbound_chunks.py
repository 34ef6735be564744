"""The chunked coding: whatever the pieces, what is taken off is what was put on, as another reader has it."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.outbound.chunks import END_OF_CHUNKS, Chunks, MalformedChunks

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
CUTS = st.lists(st.integers(0, 400), max_size=12)
ENDS = st.sampled_from([END_OF_CHUNKS, b"000\r\nx-of: the end\r\nx-and: more\r\n\r\n", b"0;last\r\n\r\n"])
SIZES = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;name=value", b"%x ; name"])
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@given(BODIES, SIZES, ENDS, CUTS, st.binary(max_size=10))
def test_the_body_is_found_however_the_bytes_are_split(
    bodies: list[bytes], size: bytes, end: bytes, cuts: list[int], after: bytes
) -> None:
    coded = b"".join(size % len(body) + b"\r\n" + body + b"\r\n" for body in bodies) + end + after
    chunks = Chunks()

    found = b"".join(map(chunks.feed, _split(coded, cuts)))

    assert found == b"".join(bodies)
    assert chunks.is_complete
    assert chunks.rest == after


@given(
    st.lists(st.sampled_from([b"3", b"a", b"0", b"\r\n", b"\n", b"xyz", b"-", b";", b" "]), max_size=14), CUTS
)
def test_nothing_is_taken_for_a_body_that_another_reader_refuses(
    pieces: list[bytes], cuts: list[int]
) -> None:
    coded = b"".join(pieces)
    chunks, found = Chunks(), b""

    try:
        for part in _split(coded, cuts):
            found += chunks.feed(part)
    except MalformedChunks:
        return

    body, is_complete = _as_h11_reads(coded)
    assert body.startswith(found)
    assert is_complete or not chunks.is_complete


@pytest.mark.parametrize(
    "coded",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"3\r\nabcd\r\n",
        b"1" * 16 + b"\r\n",
        b"a" * 5000,
        b"0\r\nx: " + b"y" * 20_000,
        b"0\r\n3\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nx: y\0\r\n\r\n",
    ],
)
def test_what_is_not_of_this_coding_is_refused(coded: bytes) -> None:
    with pytest.raises(MalformedChunks):
        Chunks().feed(coded)


def _split(coded: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(coded)) for cut in cuts} | {0, len(coded)})
    return [coded[here:there] for here, there in pairwise(places)]


def _as_h11_reads(coded: bytes) -> tuple[bytes, bool]:
    reader, body = h11.Connection(h11.CLIENT), b""
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(HEAD + coded)
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return body, True
            elif event is h11.NEED_DATA:
                return body, False
    except h11.RemoteProtocolError:
        return body, False
