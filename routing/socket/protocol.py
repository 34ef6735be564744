"""How a WebSocket connection is read and ended: uvicorn's protocol, bounded, and gone when it should be.

uvicorn's own logs every frame at debug level, keeps a connection for ever whose opening cannot be read, lets
the word of closing wait behind what a stuck client does not read, and then waits for it without an end.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.server import ServerProtocol

__all__ = ["SocketProtocol"]

MESSAGE_BYTES: Final = 256 * 1024
PING_S: Final = 20.0
# On its way to one client, in the kernel (which takes it twice) and here.
UNSENT_BYTES: Final = 64 * 1024
# What is still on its way from a client that sent too much is read for so long: closing with unread bytes
# resets the connection, which takes the close code with it.
LINGER_S: Final = 1.0
# Of the second that uvicorn gives connections at a shutdown, what a socket may take to say goodbye.
GOODBYE_S: Final = 0.5
UNREADABLE: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class SocketProtocol(WebSocketsSansIOProtocol):
    """Text messages up to 256 kB, a ping every 20 s, no compression."""

    # How long a client that is told to go may take to say so too.
    close_within_s = 5.0

    # Any: uvicorn's own signature.
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = ServerProtocol(max_size=MESSAGE_BYTES, logger=self.logger)
        # Frames hold tokens and what people say.
        self.conn.debug = False
        self.ping_interval = self.ping_timeout = PING_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Left to itself the kernel keeps 4 MB for a client that does not read.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.conn.parser_exc is not None:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(UNREADABLE)
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] != "websocket.close":
            await super().send(message)
            return
        self.writable.set()
        await super().send(message)
        self._abort_later()

    def handle_parser_exception(self) -> None:
        self.stop_keepalive()
        reason = self.conn.close_sent
        code = 1006 if reason is None else reason.code
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # A timer of closing also keeps the end of the application from closing at once.
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_later()

    def shutdown(self) -> None:
        """The application leaves by itself, with a word; whoever is still there then is sent away."""
        self.loop.call_later(GOODBYE_S, self._shut_down)

    def _shut_down(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _abort_later(self) -> None:
        """Closing waits until all is written; for a client that does not read that is never."""
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_within_s, self.transport.abort)
