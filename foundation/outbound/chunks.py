"""The chunked coding of HTTP/1.1, taken off: which bytes of an answer are its body, and where that ends.

Pure, and the result does not depend on where the bytes were split. Extensions and trailers are dropped.

Source: RFC 9112, section 7.1.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["END_OF_CHUNKS", "Chunks", "MalformedChunks"]

# What ends a body that has no trailers.
END_OF_CHUNKS: Final = b"0\r\n\r\n"
LINE_END: Final = b"\r\n"
MAX_LINE_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 16 * 1024
SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")


class MalformedChunks(Exception):
    """The bytes are not of this coding; nothing after them can be understood."""


class Chunks:
    """`is_complete`: the end was seen. `rest`: what came after it, which is no part of this body."""

    def __init__(self) -> None:
        self.is_complete = False
        self._held = b""
        self._left = 0  # bytes of the present chunk that have not come yet
        self._is_after_chunk = False
        self._trailer_bytes: int | None = None  # None before the trailers

    @property
    def rest(self) -> bytes:
        return self._held if self.is_complete else b""

    def feed(self, part: bytes) -> bytes:
        """The bytes of the body that `part` brings.

        Raises:
            MalformedChunks: see there.
        """
        self._held += part
        body: list[bytes] = []
        while self._held and not self.is_complete:
            if self._left:
                body.append(self._held[: self._left])
                self._held = self._held[self._left :]
                self._left -= len(body[-1])
                self._is_after_chunk = True
            elif (line := self._line()) is None:
                break
            else:
                self._take(line)
        return body[0] if len(body) == 1 else b"".join(body)

    def _line(self) -> bytes | None:
        line, found, rest = self._held.partition(LINE_END)
        if len(line) > MAX_LINE_BYTES:
            raise MalformedChunks("a line is too long")
        if not found:
            return None
        self._held = rest
        return line

    def _take(self, line: bytes) -> None:
        if self._is_after_chunk:
            if line:
                raise MalformedChunks("a chunk is longer than it said")
            self._is_after_chunk = False
        elif self._trailer_bytes is not None:
            self._take_trailer(line)
        else:
            size = SIZE_LINE.fullmatch(line)
            if size is None:
                raise MalformedChunks("a chunk does not begin with its size")
            self._left = int(size[1], 16)
            self._trailer_bytes = None if self._left else 0

    def _take_trailer(self, line: bytes) -> None:
        assert self._trailer_bytes is not None  # noqa: S101 - only asked there
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedChunks("the trailers are too long")
        if line and TRAILER.fullmatch(line) is None:
            raise MalformedChunks("a trailer is no header")
        self.is_complete = not line
