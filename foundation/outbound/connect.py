"""How a guarded socket is opened: look the name up once, judge every answer, connect to exactly that one.

This is the only place where the outbound client opens sockets, so a name that answers differently the second
time changes nothing, and no redirect or reused connection gets around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

import httpcore2

from foundation.outbound.addresses import Address
from foundation.outbound.errors import BlockedAddress, OutboundFailed
from foundation.outbound.resolve import Resolver
from foundation.outbound.stream import open_stream
from foundation.outbound.targets import check_address

__all__ = ["GuardedNetwork"]

MAX_TRIES: Final = 4


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens sockets for the connection pool."""

    def __init__(self, resolver: Resolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the pool's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = OutboundFailed(f"{host} has no address")
        for address in (await self._permitted(host))[:MAX_TRIES]:
            try:
                return await open_stream(
                    str(address),
                    port,
                    timeout_s=timeout,
                    local_address=local_address,
                    options=socket_options or (),
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ASYNC109, ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise BlockedAddress("a socket file may not be fetched")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _permitted(self, host: str) -> list[Address]:
        """One private answer among public ones refuses the name: honest names do not mix them."""
        try:
            answers = await self._resolver.resolve(host.removesuffix("."))
        except (OSError, UnicodeError) as error:
            raise OutboundFailed(f"the name {host} cannot be looked up") from error
        addresses = [ip_address(answer) for answer in dict.fromkeys(answers)]
        for address in addresses:
            check_address(address, allow_private=self._allow_private)
        return addresses
