"""Whether a client takes what it is sent: one rule for every connection, whatever is sent on it.

    narrow      little is kept of what a client does not read, here and in the system
    watch       from now on it must take something: 10 s in which it took less than 1 kB/s are the end. In the
                first of them its system may still take some for it; the others count
    rest        it has taken enough
    reset       the end: what it did not take is forgotten by the system, too, and it is told
    taken_enough   how whoever writes waits for it, before making more

A client that reads slowly goes on, as long as it reads a kilobyte a second of what waits for it. One that
reads a byte a second makes progress for ever, and is not waited for.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.types import Scope

__all__ = ["TAKEN_ENOUGH", "WITHIN_S", "Taking", "narrow", "reset", "taken_enough"]

log = structlog.get_logger(__name__)

# An extension of ASGI, in a connection's scope: `{"wait": …}` returns once the system has taken all that was
# sent, or the client has gone. Whoever waits there, and not in the next `send`, need not have more to send.
TAKEN_ENOUGH: Final = "switchyard.taken_enough"

WITHIN_S: Final = 10.0
LEAST_BYTES_S: Final = 1024
# Of the ten seconds, those before what it takes is counted.
SETTLING_SHARE: Final = 0.1
# On its way to one client in the system, which takes it twice and left to itself keeps 4 MB.
SENT_BYTES: Final = 16 * 1024
# Of that what is not even on the wire; with more it takes nothing. What it does not take waits here.
UNSENT_BYTES: Final = 4 * 1024
# What the system has not got rid of by then, of a connection that is open or closed, it forgets. It tells the
# client nothing of that, so it comes after our own end, which may take two looks and a goodbye.
SYSTEM_MS = 30_000
# Closing with this is a reset, after which nothing is sent any more.
AT_ONCE: Final = struct.pack("ii", 1, 0)
NO_BYTES: Final = bytes(4)


class Taking:
    """One connection's; `transport` may be closing already, then it is watched until it has closed."""

    def __init__(self, transport: asyncio.Transport, *, within_s: float, give_up: Callable[[], None]) -> None:
        """
        Args:
            give_up: is called once, when the client has taken too little.
        """
        self._transport = transport
        self._within_s = within_s
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_bytes = 0

    def watch(self) -> None:
        if self._timer is None:
            self._look_in(self._within_s * SETTLING_SHARE, self._begin)

    def rest(self) -> None:
        """Unless it is closing: then all that waits must be taken, or it would stay open for ever."""
        if not self._transport.is_closing():
            self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _counted_s(self) -> float:
        return self._within_s * (1 - SETTLING_SHARE)

    def _look_in(self, in_s: float, look: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(in_s, look)

    def _begin(self) -> None:
        self._waiting_bytes = _waiting_bytes(self._transport)
        self._look_in(self._counted_s, self._look)

    def _look(self) -> None:
        self._timer = None
        taken_bytes = self._waiting_bytes - _waiting_bytes(self._transport)
        if taken_bytes < LEAST_BYTES_S * self._counted_s:
            log.warning("reader_stuck", taken_bytes=taken_bytes, within_s=self._within_s)
            self._give_up()
        else:
            self.watch()


def narrow(transport: asyncio.Transport) -> None:
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SYSTEM_MS)
    # Nothing more is made while anything waits here. TLS takes 0 for "always".
    transport.set_write_buffer_limits(high=1, low=0)


def reset(transport: asyncio.Transport) -> None:
    """End the connection now. Repeats safely."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    transport.abort()


def taken_enough(scope: Scope) -> Callable[[], Awaitable[object]]:
    """What the server of this connection offers; one that offers nothing makes the next `send` wait."""
    wait: Callable[[], Awaitable[object]] = (
        scope.get("extensions", {}).get(TAKEN_ENOUGH, {}).get("wait", _at_once)
    )
    return wait


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """What the client has not taken: here, and in the system."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    fileno = -1 if raw is None else raw.fileno()
    unread = fcntl.ioctl(fileno, termios.TIOCOUTQ, NO_BYTES) if fileno >= 0 else NO_BYTES
    return transport.get_write_buffer_size() + int.from_bytes(unread, sys.byteorder)


async def _at_once() -> None:
    """There is nothing to wait for."""
