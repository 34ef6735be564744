"""How a guarded socket is written to and read with as little work as it takes.

The library under the pool sends a request's head and body apart, and asks every idle connection before each
request whether its server has closed it. Either costs as much as all the rest of a short exchange. Its
reading arms and tears down a scope of cancellation for each part, however small: a timer does.
"""

from __future__ import annotations

import asyncio
import math
import re
import select
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import anyio
import httpcore2
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from foundation.outbound.waits import Waits

__all__ = ["FrugalStream", "open_stream"]

# More than this is sent at once; a body in parts goes out while it comes in.
HELD_BYTES: Final = 64 * 1024
RECEIVED_BYTES: Final = 64 * 1024
# A connection its server closed so recently is found out by using it, as is one closed a moment later.
LOOK_EVERY_S: Final = 0.1
# Where a head ends, as the library sees it.
END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError)


async def open_stream(
    address: str,
    port: int,
    *,
    timeout_s: float | None,
    local_address: str | None,
    options: Iterable[httpcore2.SOCKET_OPTION],
) -> FrugalStream:
    """
    Raises:
        httpcore2.ConnectError, httpcore2.ConnectTimeout: nobody is there.
    """
    try:
        async with asyncio.timeout(timeout_s):
            stream = await anyio.connect_tcp(address, port, local_host=local_address)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout from error
    except (OSError, anyio.BrokenResourceError) as error:
        raise httpcore2.ConnectError(str(error)) from error
    for option in options:
        _told(stream, SocketAttribute.raw_socket).setsockopt(*option)
    return FrugalStream(stream)


class FrugalStream(httpcore2.AsyncNetworkStream):
    """Holds what is written until something is read: then a small request is one packet.

    After a request the pool is given the head of the answer alone, so that whoever wants can `receive` the
    body without it, as long as `is_at_body`. What the pool shall see of it afterwards is `put_back`.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.is_at_body = False
        self._stream = stream
        self._unsent = bytearray()
        self._unread = b""
        self._waits = Waits()
        self._awaits_head = False
        self._before = b""
        self._looked_s = -math.inf
        self._is_readable = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the pool's
        if self._unsent:
            # A server may answer, and close, before it has read everything; its answer is worth reading.
            with suppress(httpcore2.WriteError):
                await self._send(timeout)
        self.is_at_body = False
        part = await self._next(max_bytes, timeout)
        return self._up_to_body(part) if self._awaits_head else part

    async def receive(self, *, timeout_s: float | None) -> bytes:
        """What comes next of a body; nothing when the server has closed.

        Raises:
            httpcore2.ReadError, httpcore2.ReadTimeout: see there.
        """
        return await self._next(RECEIVED_BYTES, timeout_s)

    def put_back(self, part: bytes) -> None:
        """Have the pool read this first."""
        self._unread = part + self._unread

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the pool's
        self._awaits_head, self._before = True, b""
        self._unsent += buffer
        if len(self._unsent) > HELD_BYTES:
            await self._send(timeout)

    async def aclose(self) -> None:
        self._unsent.clear()
        self._waits.close()
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the pool's own signature
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                secured = await TLSStream.wrap(
                    self._stream,
                    ssl_context=ssl_context,
                    hostname=server_hostname,
                    standard_compatible=False,
                    server_side=False,
                )
        except TimeoutError as error:
            await self.aclose()
            raise httpcore2.ConnectTimeout from error
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError) as error:
            await self.aclose()
            raise httpcore2.ConnectError(str(error)) from error
        return FrugalStream(secured)

    # Any: what the pool may ask for is of every kind.
    def get_extra_info(self, info: str) -> Any:
        match info:
            case "is_readable":
                return self._looked()
            case "ssl_object":
                return _told(self._stream, TLSAttribute.ssl_object)
            case "socket":
                return _told(self._stream, SocketAttribute.raw_socket)
            case _:
                return None

    def _up_to_body(self, part: bytes) -> bytes:
        seen = self._before + part
        if (end := END_OF_HEAD.search(seen)) is None:
            self._before = seen[-2:]
            return part
        head_bytes = end.end() - len(self._before)
        self._awaits_head, self._before, self.is_at_body = False, b"", True
        self.put_back(part[head_bytes:])
        return part[:head_bytes]

    async def _next(self, max_bytes: int, timeout_s: float | None) -> bytes:
        if self._unread:
            part, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
            return part
        try:
            return await self._waits.within(timeout_s, self._stream.receive(max_bytes))
        except anyio.EndOfStream:
            return b""
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error
        except GONE as error:
            raise httpcore2.ReadError from error

    def _looked(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._is_readable = bool(self._unread) or _is_readable(self._stream)
        return self._is_readable

    async def _send(self, timeout_s: float | None) -> None:
        held, self._unsent = bytes(self._unsent), bytearray()
        try:
            async with asyncio.timeout(timeout_s):
                await self._stream.send(held)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error
        except GONE as error:
            raise httpcore2.WriteError from error


def _is_readable(stream: ByteStream) -> bool:
    """Whether there is something to read from an idle connection: its end, if anything."""
    number = _told(stream, SocketAttribute.raw_socket).fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


# Any: what a stream tells of itself is of every kind.
def _told(stream: ByteStream, attribute: Any) -> Any:
    return stream.extra(attribute, None)  # noqa: S610  # nosec B610 - a stream's, not a query's
