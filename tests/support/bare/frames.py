"""WebSocket frames as bytes: any that can be written, right or wrong, and the reading of a server's.

Source: RFC 6455, section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "Frames",
    "close_frame",
    "frame",
    "message",
    "text",
]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    claims: int | None = None,
    width: int | None = None,
) -> bytes:
    """
    Args:
        reserved: the three reserved bits, 0 to 7.
        mask: None leaves the payload as it is and says so.
        claims: the length the head tells, if that is not the payload's.
        width: bytes the length is written in, 0 (in the head itself), 2 or 8; the least that hold it if None.
    """
    length = len(payload) if claims is None else claims
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    return head + _length(length, width, is_masked=mask is not None) + _masked(payload, mask)


def text(*pieces: bytes) -> bytes:
    """One message in as many fragments as there are pieces."""
    last = len(pieces) - 1
    return b"".join(
        frame(TEXT if number == 0 else CONT, piece, fin=number == last) for number, piece in enumerate(pieces)
    )


def message(type_: str, **fields: object) -> bytes:
    """One message of the wire, whole."""
    return frame(TEXT, orjson.dumps({"type": type_, **fields}))


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Frames:
    """What a server sends, cut anywhere: whole, unmasked frames come out, the rest waits."""

    def __init__(self) -> None:
        self.pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of each frame that is complete."""
        self.pending += data
        while (size := self._whole()) is not None:
            begin, end = size
            found = self.pending[0] & 0x0F, self.pending[begin:end]
            self.pending = self.pending[end:]
            yield found

    def _whole(self) -> tuple[int, int] | None:
        """Where the payload of the first frame begins and ends, once it is here."""
        if len(self.pending) < 2:
            return None
        short = self.pending[1] & 0x7F
        begin = 2 + {126: 2, 127: 8}.get(short, 0)
        length = short if begin == 2 else int.from_bytes(self.pending[2:begin], "big")
        return (begin, begin + length) if len(self.pending) >= begin + length else None


def _length(length: int, width: int | None, *, is_masked: bool) -> bytes:
    if width is None:
        width = 0 if length < 126 else 2 if length < 65_536 else 8
    first = {0: length, 2: 126, 8: 127}[width]
    return bytes([(0x80 if is_masked else 0) | first]) + (length.to_bytes(width, "big") if width else b"")


def _masked(payload: bytes, mask: bytes | None) -> bytes:
    if mask is None:
        return payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mask + hidden.to_bytes(len(payload), "big")
