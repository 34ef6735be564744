"""How a WebSocket connection is read and ended: uvicorn's protocol, bounded, and gone when it should be.

uvicorn's own logs every frame at debug level, keeps a connection for ever whose opening cannot be read, lets
the word of closing wait behind what a stuck client does not read, and then waits for it without an end. It
answers pings nobody reads the pongs of, keeps empty fragments without a bound, and takes a client's mistake
(an opening or a text that is no text, a message after the end) for a fault of the server's.

A connection ends in one of five ways, and each is over within `close_within_s`:

    the client closes                 its close is answered
    the application closes            its code, then the client has its say
    a frame is wrong                  1002, 1007 or 1009; what is on its way is read for a second
    frames come too fast              4429, in the same way
    the client reads too little       4408, in the same way
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from routing.socket.frames import frames
from routing.taking import TAKEN_ENOUGH, WITHIN_S, Taking, narrow, reset

__all__ = ["WRITE_NOW", "SocketProtocol"]

# An extension of ASGI, in a connection's scope: `{"write": SocketProtocol.write_now}`.
WRITE_NOW: Final = "switchyard.write_now"

MESSAGE_BYTES: Final = 256 * 1024
PING_S: Final = 20.0
# Frames that may come at once, and a second in the long run. A client needs a few; reading thousands of them
# keeps everybody else waiting, and only whole messages are counted as requests.
FRAMES_AT_ONCE: Final = 4096
FRAMES_A_SECOND: Final = 200
LIMITED: Final = 4429
TOO_SLOW: Final = 4408
NO_TEXT: Final = 1007
# What is read at a time, so that frames are counted before thousands of them are taken.
PART_BYTES: Final = 4096
# What a client may say before its opening is answered.
EARLY_BYTES: Final = 64 * 1024
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
    take_within_s = WITHIN_S
    ping_s = pong_within_s = PING_S

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
        self.ping_interval, self.ping_timeout = self.ping_s, self.pong_within_s
        self._early = b""
        self._pong = b""
        self._fragments = bytearray()
        self._frames_until_s = 0.0
        self._has_failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._taking = Taking(self.transport, within_s=self.take_within_s, give_up=self._give_up)
        narrow(self.transport)
        if self.transport.get_write_buffer_size():
            # What was answered on this connection before is not taken yet; a transport says so only once.
            self.pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._taking.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taking.rest()
        pong, self._pong = self._pong, b""
        if pong and self.conn.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(pong)

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self._keep_early(data)
            return
        for at in range(0, len(data), PART_BYTES):
            if self._has_failed or self.transport.is_closing():
                return
            self._take(data[at : at + PART_BYTES])

    async def send(self, message: ASGISendEvent) -> None:
        is_close = message["type"] == "websocket.close"
        if is_close:
            self.writable.set()
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # An opening that was refused with an answer is over; uvicorn takes it for one that was forgotten.
            self.handshake_complete = True
        elif is_close:
            self._abort_later()
        elif self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def handle_connect(self, event: Request) -> None:
        spoken = [event.path, *(value for name, value in event.headers.raw_items() if _is_read(name))]
        if all(each.isascii() for each in spoken):
            super().handle_connect(event)
            self._offer_to_write()
        else:
            self._refuse_opening()

    def write_now(self, texts: Sequence[bytes]) -> bool:
        """Write `texts` as messages, if the client reads and nobody has closed; else nothing is written.

        What `send` does takes as long as the write itself, for each of the thousand who watch a run.
        """
        is_open = self.conn.state is State.OPEN and not self.close_sent
        if not is_open or self.transport.is_closing() or not self.writable.is_set():
            return False
        self.transport.write(frames(texts))
        return True

    def handle_text(self, event: Frame) -> None:
        super().handle_text(event)
        self._begin(event)

    def handle_bytes(self, event: Frame) -> None:
        super().handle_bytes(event)
        self._begin(event)

    def handle_cont(self, event: Frame) -> None:
        # A fragment costs what it holds, and nothing when it is empty.
        self._fragments += event.data
        if event.fin:
            self.frames = [bytes(self._fragments)]
            self._fragments.clear()
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames[0]):
            self.frames = []
            self._fail(NO_TEXT, "a text message is no UTF-8")
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answered once the client reads; of those that come meanwhile the last (RFC 6455, section 5.5.3)."""
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(output)
        elif output:
            self._pong = output

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._abort_later()

    def eof_received(self) -> None:
        self._abort_later()

    def handle_parser_exception(self) -> None:
        self._has_failed = True
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
        self._at_the_end(LINGER_S, self._leave)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._abort_later()

    def shutdown(self) -> None:
        """The application leaves by itself, with a word; whoever is still there then is sent away."""
        self.loop.call_later(GOODBYE_S, self._shut_down)

    def _offer_to_write(self) -> None:
        """Whoever answers this opening may pass by `send`; it has not begun yet."""
        if not self.close_sent and (extensions := self.scope["extensions"]) is not None:
            extensions[WRITE_NOW] = {"write": self.write_now}
            extensions[TAKEN_ENOUGH] = {"wait": self.writable.wait}

    def _take(self, part: bytes) -> None:
        self.conn.receive_data(part)
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
            return
        if self._are_too_many(len(self.conn.events)):
            self._fail(LIMITED, "too many frames")
            return
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse_opening()

    def _keep_early(self, data: bytes) -> None:
        """What a client says before its opening is answered is taken after that."""
        self._early += data
        if len(self._early) > EARLY_BYTES:
            self.transport.abort()

    def _begin(self, event: Frame) -> None:
        """Of a message in fragments, keep the first."""
        if not event.fin:
            self.frames = []
            self._fragments += event.data

    def _are_too_many(self, frames: int) -> bool:
        now_s = self.loop.time()
        self._frames_until_s = max(self._frames_until_s, now_s) + frames / FRAMES_A_SECOND
        return self._frames_until_s - now_s > FRAMES_AT_ONCE / FRAMES_A_SECOND

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _give_up(self) -> None:
        if self.conn.state is State.OPEN:
            self._fail(TOO_SLOW, "too_slow")
        # Whoever waits to say more hears that it is over.
        self.writable.set()

    def _refuse_opening(self) -> None:
        self._has_failed = True
        self.transport.write(UNREADABLE)
        self.transport.close()

    def _shut_down(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _leave(self) -> None:
        self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        """Closing waits until all is written; for a client that does not read that is never."""
        self._at_the_end(self.close_within_s, lambda: reset(self.transport))

    def _at_the_end(self, in_s: float, end: Callable[[], None]) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(in_s, end)


def _is_read(name: str) -> bool:
    """Whether what a header says becomes text."""
    return name.lower().startswith("sec-websocket-")


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
