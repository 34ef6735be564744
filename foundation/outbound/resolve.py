"""Which addresses a name has, asked of the machine without using up its threads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

__all__ = ["Resolver", "SystemResolver"]


class Resolver(Protocol):
    async def resolve(self, host: str) -> Sequence[str]:
        """The IP addresses of `host`, best first; an `OSError` if there are none."""
        ...


class SystemResolver:
    """The machine's own lookup.

    It cannot be interrupted, so it has threads of its own: a dead name server must not use up everybody's.
    """

    def __init__(self, *, at_once: int = 8) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="resolve")

    async def resolve(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        lookup = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await loop.run_in_executor(self._threads, lookup)
        return [str(sockaddr[0]) for *_, sockaddr in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
