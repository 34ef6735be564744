"""Connecting to the NATS of an address, in the one way the product and those who check it do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from foundation.hints.address import Address

if TYPE_CHECKING:
    from foundation.hints.connection import Connection

__all__ = ["open_nats"]


async def open_nats(
    url: str, *, name: str, within_s: int, on_error: Callable[[Exception], Awaitable[None]]
) -> Connection:
    """A connection that nobody opens again once it is lost; `leave` it in the end.

    Args:
        url: as `Address.of` takes it.
        name: what the server calls it.
        on_error: told what the library does not raise, among it what a trial ended with.

    Raises:
        Exception: of the library or the operating system; nothing is left open.
    """
    # Imported on first use: most servers have no NATS.
    from foundation.hints.connection import Connection

    connection = Connection(Address.of(url))
    await connection.open(name=name, within_s=within_s, on_error=on_error)
    return connection
