"""Connections by the hundred that their clients leave standing, and how long each of them stood."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

__all__ = ["Crowd", "Standing", "connect"]

LOOK_S: Final = 0.05
EVERY_S: Final = 1.0
CONNECT_WITHIN_S: Final = 10.0
GONE: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass
class Standing:
    """
    Attributes:
        open_s: from its beginning to its end; None if it still stands.
    """

    began_s: float = field(default_factory=time.monotonic, repr=False, kw_only=True)
    open_s: float | None = field(default=None, kw_only=True)


S = TypeVar("S", bound=Standing)


class Crowd(Generic[S]):
    """All of them, and what each does once a second.

    Args:
        act: it must not wait, and may raise OSError: the next look tells whether that is the end.
    """

    def __init__(self, act: Callable[[S, socket.socket], object]) -> None:
        self.members: list[S] = []
        self._act = act
        self._open: dict[int, tuple[S, socket.socket]] = {}
        self._poll = select.poll()
        self._watching = asyncio.create_task(self._watch())

    def add(self, member: S, opened: socket.socket) -> None:
        self.members.append(member)
        self._open[opened.fileno()] = member, opened
        self._poll.register(opened, select.POLLRDHUP)

    async def until_gone(self, *, within_s: float) -> None:
        """Return once all have ended, or after `within_s`."""
        ends_at_s = time.monotonic() + within_s
        while self._open and time.monotonic() < ends_at_s:
            if self._watching.done():
                self._watching.result()
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Leave those that still stand."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        for _, opened in self._open.values():
            opened.close()

    async def _watch(self) -> None:
        next_act_s = time.monotonic()
        while True:
            self._note_the_gone()
            if time.monotonic() >= next_act_s:
                for member, opened in self._open.values():
                    try:
                        self._act(member, opened)
                    except OSError:
                        continue
                next_act_s += EVERY_S
            await asyncio.sleep(LOOK_S)

    def _note_the_gone(self) -> None:
        for number, events in self._poll.poll(0):
            if events & GONE:
                member, opened = self._open.pop(number)
                member.open_s = time.monotonic() - member.began_s
                self._poll.unregister(opened)
                opened.close()


async def connect(url: str, first: bytes, *, buffer_bytes: int | None = None) -> socket.socket:
    """A connection on which `first` was said.

    Args:
        buffer_bytes: what the system may keep of what is not read; None for as much as it likes.
    """
    address = urlsplit(url)
    opened = socket.socket()
    opened.setblocking(False)
    if buffer_bytes is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await loop.sock_connect(opened, (address.hostname, address.port))
            await loop.sock_sendall(opened, first)
    except BaseException:
        opened.close()
        raise
    return opened
