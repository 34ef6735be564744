"""What a client has understood of a stream that may break off after any byte: whole messages, and no others.

Pure: bytes go in, in pieces of any size; `told` are the bytes of the messages that are complete.
"""

from __future__ import annotations

from typing import Any, Protocol

import httptools
import orjson

from tests.support.bare import PING, TEXT, Frames

__all__ = ["PageTail", "SocketTail", "StreamTail", "Tail"]

HEAD_END = b"\r\n\r\n"

# Any: a message of the wire, as JSON.
Message = dict[str, Any]


class Tail(Protocol):
    told: list[bytes]  # events of the run, in order
    is_over: bool  # this answer brings nothing more

    @property
    def pending(self) -> bytes:
        """What has arrived of something that is not complete."""

    def feed(self, data: bytes) -> None: ...


class _HttpTail:
    """The body of one answer."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.is_over = False
        self.body = b""
        self._head = b""
        self._parser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        status: int = self._parser.get_status_code()
        return status

    @property
    def pending(self) -> bytes:
        return self._head + self.body

    def feed(self, data: bytes) -> None:
        if HEAD_END not in self._head:
            self._head = (self._head + data).partition(HEAD_END)[0]
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self._head = HEAD_END
        assert self.status in {200, 204}, self.status

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_over = True


class StreamTail(_HttpTail):
    """Server-sent events: a block counts once its empty line is here, and only if it has an id."""

    def on_body(self, body: bytes) -> None:
        *blocks, self.body = (self.body + body).split(b"\n\n")
        for block in blocks:
            lines = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"id" in lines:
                self.told.append(lines[b"data"])
                assert orjson.loads(lines[b"data"])["seq"] == int(lines[b"id"])


class PageTail(_HttpTail):
    """One page as JSON: all of it or nothing."""

    is_last = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.status == 204:
            self.is_last = True
            return
        page = orjson.loads(self.body)
        self.body = b""
        self.told = [orjson.dumps(each) for each in page["events"]]
        self.is_last = page["isTerminal"]


class SocketTail:
    """A socket: what is about no run's log (`connected`, `agent_resumed`, `pong`) is kept apart."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.said: list[Message] = []
        self.pinged: list[bytes] = []  # and to be answered
        self.is_over = False
        self._frames = Frames()
        self._head: bytes | None = b""

    @property
    def pending(self) -> bytes:
        # Without the head of the frame, which is no text.
        return self._frames.pending[4:] if self._head is None else self._head

    def feed(self, data: bytes) -> None:
        if self._head is not None:
            head, is_whole, data = (self._head + data).partition(HEAD_END)
            if not is_whole:
                self._head = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._head = None
        for opcode, payload in self._frames.feed(data):
            assert opcode in {TEXT, PING}, (opcode, payload)
            if opcode == TEXT:
                self._hear(payload)
            else:
                self.pinged.append(payload)

    def _hear(self, payload: bytes) -> None:
        message: Message = orjson.loads(payload)
        if "seq" in message:
            assert "pong" not in {each["type"] for each in self.said}, payload
            self.told.append(payload)
        else:
            assert message["type"] != "error", message
            self.said.append(message)
            self.is_over = message["type"] == "pong"
