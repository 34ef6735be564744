"""One connection to NATS that is lost when it is lost: whoever wants another opens another.

The library would connect again by itself, and send then what was to be sent before. Hints of before are
worthless, and the waits between its trials are all alike; so that is left to us. Three more things are
different here: a `tls://` address never sends its password into the open, a server that hangs cannot hold
up whoever leaves, and one can wait until the server has what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import SecureConnWantedError

from foundation.hints.address import Address
from foundation.hints.wire import Message

__all__ = ["Connection"]

# How long a server may be silent when it is asked something it answers at once.
SILENCE_S: Final = 2
PULSE_S: Final = 1.0


class Connection(Client):
    def __init__(self, address: Address) -> None:
        super().__init__()
        self._address = address
        self._line = _Line()
        self._transport = self._line
        self._gone = asyncio.Event()

    async def open(
        self, *, name: str, within_s: int, on_error: Callable[[Exception], Awaitable[None]]
    ) -> None:
        """
        Raises:
            Exception: the library's own, or of the operating system; nothing is left open.
        """
        address = self._address
        try:
            async with asyncio.timeout(within_s):
                await self.connect(
                    address.server,
                    name=name,
                    user=address.user,
                    password=address.password,
                    token=address.token,
                    error_cb=on_error,
                    closed_cb=self._closed,
                    connect_timeout=within_s,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    no_echo=True,
                    pending_size=0,
                )
        except BaseException:
            self._line.abort()
            raise

    async def lost(self) -> None:
        """Return once it is.

        Raises:
            TimeoutError: the server is silent.
        """
        while not self._gone.is_set():
            try:
                await asyncio.wait_for(self._gone.wait(), PULSE_S)
            except TimeoutError:
                await self.rtt(SILENCE_S)

    async def tell(self, message: Message) -> None:
        headers = None if message.id is None else {"Nats-Msg-Id": message.id}
        await self.publish(message.subject, message.payload, headers=headers)

    async def settle(self) -> None:
        """Return once the server has all that was sent before.

        Raises:
            TimeoutError: it is silent.
        """
        async with asyncio.timeout(SILENCE_S):
            # The library's own question overtakes what it has not written yet.
            while self.pending_data_size:
                await asyncio.sleep(0)
                await asyncio.sleep(0.001 if self.pending_data_size else 0)
        await self.rtt(SILENCE_S)

    async def leave(self) -> None:
        """Let go at once: what was not sent is lost, and a server that hangs holds nobody up."""
        self._pending, self._pending_data_size = [], 0
        self._line.abort()
        await self.close()

    async def _closed(self) -> None:
        self._gone.set()

    def _connect_command(self) -> bytes:
        """What is sent first, with the password in it.

        Raises:
            SecureConnWantedError: anybody on the way could read it, and the address says nobody may.
        """
        if self._address.must_encrypt and not self._line.is_encrypted:
            raise SecureConnWantedError
        return super()._connect_command()


class _Line(TcpTransport):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __bool__(self) -> bool:
        """Otherwise the library would put one of its own in its place."""
        return True

    @property
    def is_encrypted(self) -> bool:
        writer = self._io_writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    def abort(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()
