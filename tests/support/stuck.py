"""Readers that do not read: streams and sockets by the hundred that take nothing, or one byte a second.

    fates = await stuck_readers(places, never=500, trickle=100, seed=7, within_s=60)

Each asks for a whole run and leaves what comes where it is, in the system's buffers. Half of them read a
stream, half a socket, and the system keeps little for one and much for another, as `seed` draws. The runs
must say more than all buffers between hold (4 MB is plenty), or nobody can tell that they are not read.
"""

from __future__ import annotations

import asyncio
import random
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from tests.support.bare import message, opening

__all__ = ["Fate", "Place", "stuck_readers"]

Transport = Literal["sse", "ws"]

LOOK_S: Final = 0.05
TRICKLE_S: Final = 1.0
# How many come in a second: what is tried is how they stay, not how they come.
OPENED_A_SECOND: Final = 150
BUFFERS: Final = (4096, 65_536, None)
CONNECT_WITHIN_S: Final = 10.0
GONE: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass(frozen=True)
class Place:
    """A run that one may read with `token` at `url`."""

    url: str
    token: str
    run_id: str


@dataclass
class Fate:
    """What became of one reader.

    Attributes:
        buffer_bytes: what the system was told to keep for it; None for as much as it likes.
        open_s: from its request to the end of its connection; None if it still stands.
    """

    transport: Transport
    trickles: bool
    buffer_bytes: int | None
    began_s: float = field(repr=False)
    open_s: float | None = None


async def stuck_readers(
    places: Sequence[Place], *, never: int, trickle: int, seed: int, within_s: float
) -> list[Fate]:
    """Open them all, and watch until each has ended, or for `within_s` seconds after the last came.

    Args:
        never: how many take nothing.
        trickle: how many take one byte a second.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    paces = [False] * never + [True] * trickle
    dice.shuffle(paces)
    with ExitStack() as stack:
        crowd = _Crowd()
        watching = asyncio.create_task(crowd.watch())
        try:
            for number, trickles in enumerate(paces):
                opened = await _open(dice.choice(places), dice=dice, number=number, trickles=trickles)
                stack.enter_context(opened[1])
                crowd.add(*opened)
                await asyncio.sleep(1 / OPENED_A_SECOND)
            crowd.is_whole = True
            await asyncio.wait({watching}, timeout=within_s)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return crowd.fates


class _Crowd:
    """All of them, by the number of their socket."""

    def __init__(self) -> None:
        self.fates: list[Fate] = []
        self.is_whole = False
        self._open: dict[int, tuple[Fate, socket.socket]] = {}
        self._poll = select.poll()

    def add(self, fate: Fate, opened: socket.socket) -> None:
        self.fates.append(fate)
        self._open[opened.fileno()] = fate, opened
        self._poll.register(opened, select.POLLRDHUP)

    async def watch(self) -> None:
        """Until all have come and gone."""
        next_byte_s = time.monotonic()
        while self._open or not self.is_whole:
            self._note_the_gone()
            if time.monotonic() >= next_byte_s:
                self._take_a_byte()
                next_byte_s += TRICKLE_S
            await asyncio.sleep(LOOK_S)

    def _note_the_gone(self) -> None:
        for number, events in self._poll.poll(0):
            if events & GONE:
                fate, opened = self._open.pop(number)
                fate.open_s = time.monotonic() - fate.began_s
                self._poll.unregister(opened)

    def _take_a_byte(self) -> None:
        for fate, opened in self._open.values():
            if fate.trickles:
                try:
                    opened.recv(1)
                except OSError:
                    # Nothing is here, or it has ended: the next look tells.
                    continue


async def _open(
    place: Place, *, dice: random.Random, number: int, trickles: bool
) -> tuple[Fate, socket.socket]:
    address = urlsplit(place.url)
    buffer_bytes = dice.choice(BUFFERS)
    transport: Transport = "ws" if number % 2 else "sse"
    opened = socket.socket()
    opened.setblocking(False)
    if buffer_bytes is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await loop.sock_connect(opened, (address.hostname, address.port))
            await loop.sock_sendall(opened, _request(place, transport))
    except BaseException:
        opened.close()
        raise
    return Fate(transport, trickles, buffer_bytes, time.monotonic()), opened


def _request(place: Place, transport: Transport) -> bytes:
    if transport == "ws":
        # In one packet: nobody waits for the answer to the opening.
        return opening(token=place.token) + message("agent_resume", runId=place.run_id, after=0)
    lines = (
        f"GET /api/runs/{place.run_id}/events HTTP/1.1",
        "Host: x",
        "Accept: text/event-stream",
        f"Authorization: Bearer {place.token}",
    )
    return "\r\n".join([*lines, "", ""]).encode()
