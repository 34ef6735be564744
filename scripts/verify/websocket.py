"""A WebSocket client of Python's own library: as much of RFC 6455 as talking to `/ws` takes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection

from scripts.verify.web import Document, Site, Unreachable, connection_to, translated

__all__ = ["Closed", "Refused", "WebSocket", "opened"]

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
HEAD_BYTES = 16_384
MESSAGE_BYTES = 16 * 1024 * 1024


class Refused(Exception):
    """The opening was answered with this status in place of 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the opening was answered with {status} and not with 101")
        self.status = status


class Closed(Exception):
    """The server has closed it; 1006 when it said nothing."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code


@contextmanager
def opened(
    site: Site, path: str, *, protocols: Sequence[str], headers: Mapping[str, str], timeout_s: float
) -> Iterator[WebSocket]:
    """
    Raises:
        Refused, Unreachable: while it opens; later, Closed and Unreachable.
    """
    connection = connection_to(site, timeout_s)
    try:
        with translated(timeout_s):
            connection.connect()
            yield _shake_hands(connection, site, path, protocols=protocols, headers=headers)
    finally:
        connection.close()


class WebSocket:
    """
    Attributes:
        protocol: the subprotocol the server has chosen; empty for none.
    """

    def __init__(self, connection: socket.socket, *, unread: bytes, protocol: str) -> None:
        self.protocol = protocol
        self._connection = connection
        self._unread = unread

    def say(self, message: Document) -> None:
        self._send(TEXT, json.dumps(message).encode())

    def hear(self, *, deadline_s: float) -> Document:
        """The next message.

        Raises:
            Closed: there is none.
            Unreachable: it did not come in time, or is no JSON object.
        """
        text = b""
        while True:
            if time.monotonic() > deadline_s:
                raise Unreachable("no message came in time")
            is_last, code, payload = self._frame()
            if code == PING:
                self._send(PONG, payload)
            elif code == CLOSE:
                raise _closed(payload)
            elif code in (TEXT, CONTINUATION):
                text += payload
                if is_last:
                    return _object(text)

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        if size > MESSAGE_BYTES:
            raise Unreachable(f"a message of {size} bytes")
        return bool(first & 0x80), first & 0x0F, self._take(size)

    def _take(self, count: int) -> bytes:
        while len(self._unread) < count:
            piece = self._connection.recv(65_536)
            if not piece:
                raise Closed(1006, "")
            self._unread += piece
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def _send(self, code: int, payload: bytes) -> None:
        """One frame, masked as a client's must be."""
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | code, 0x80 | size)
        elif size < 65_536:
            head = struct.pack("!BBH", 0x80 | code, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | code, 0x80 | 127, size)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        self._connection.sendall(head + mask + masked)


def _shake_hands(
    connection: HTTPConnection, site: Site, path: str, *, protocols: Sequence[str], headers: Mapping[str, str]
) -> WebSocket:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = {
        "Host": site.authority,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        **({"Sec-WebSocket-Protocol": ", ".join(protocols)} if protocols else {}),
        **headers,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sock.sendall(f"GET {site.prefix}{path} HTTP/1.1\r\n{text}\r\n".encode("latin-1"))
    head, unread = _head(connection.sock)
    status, fields = _parsed(head)
    if status != 101:
        raise Refused(status)
    digest = hashlib.sha1((key + MAGIC).encode(), usedforsecurity=False).digest()
    proof = base64.b64encode(digest).decode()
    if fields.get("sec-websocket-accept") != proof:
        raise Unreachable("101 from something that speaks no WebSocket")
    return WebSocket(connection.sock, unread=unread, protocol=fields.get("sec-websocket-protocol", ""))


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of the answer, and what has come after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(4096)
        if not piece or len(received) > HEAD_BYTES:
            raise Unreachable("the opening was not answered")
        received += piece
    head, _, unread = received.partition(b"\r\n\r\n")
    return head, unread


def _parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Unreachable("the opening was answered with something that is no HTTP")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _closed(payload: bytes) -> Closed:
    if len(payload) < 2:
        return Closed(1005, "")
    (code,) = struct.unpack("!H", payload[:2])
    return Closed(code, payload[2:].decode("utf-8", errors="replace"))


def _object(text: bytes) -> Document:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreachable("a message that is no JSON object")
    return found
