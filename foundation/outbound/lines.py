"""Where the events of a byte stream end: server-sent events, read incrementally.

Pure, and the result does not depend on where the bytes were split. Only `data` is kept: neither a model's
stream nor a run's has a use for `event`, `id` and `retry`.

Source: the HTML standard, section 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["MAX_LINE_BYTES", "LineTooLong", "Lines"]

MAX_LINE_BYTES = 1_000_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line, or the lines of one event together, are longer than whoever sends them has a reason for."""


class Lines:
    """`count` is how many lines were complete so far, comments and empty ones too: each is a sign of life."""

    def __init__(self, *, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.count = 0
        self._max_bytes = max_bytes
        self._partial = bytearray()
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._ended_with_cr = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The data of the events that `part` completes.

        Raises:
            LineTooLong: and what came before it was given.
        """
        if self._ended_with_cr and part:
            self._ended_with_cr = False
            part = part.removeprefix(b"\n")  # the second half of a line end that was split
        if not part:
            return
        self._ended_with_cr = part.endswith(b"\r")
        lines = part.splitlines()
        rest = b"" if part.endswith((b"\r", b"\n")) else lines.pop()
        for line in lines:
            if (event := self._take(line)) is not None:
                yield event
        self._partial += rest
        self._check(len(self._partial))

    def end(self) -> bytes | None:
        """The event that no empty line has ended; half a line is dropped."""
        if not self._event:
            return None
        event, self._event, self._event_bytes = b"\n".join(self._event), [], 0
        return event

    def _take(self, line: bytes) -> bytes | None:
        if self._partial:
            line = bytes(self._partial) + line
            self._partial.clear()
        self._check(len(line))
        if self.count == 0:
            line = line.removeprefix(BYTE_ORDER_MARK)
        self.count += 1
        if not line:
            return self.end()
        if line.startswith(b"data:") or line == b"data":
            self._event.append(line[6:] if line[5:6] == b" " else line[5:])
            self._event_bytes += len(line)
            self._check(self._event_bytes)
        return None

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise LineTooLong("a line is too long")
