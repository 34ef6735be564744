"""How a connection is read and written: uvicorn's protocol, bounded in the time and size of a request's head.

uvicorn's own reads heads of any size for as long as they take, so that a client that proves nothing could
hold thousands of connections, or grow one header until parsing it stops the loop. It waits for ever for a
client that does not read its answer, and keeps a connection it has closed until that is read. It also loses
what comes in one packet with the opening of a WebSocket, and warns of every request that it cannot read.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import httptools
import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from foundation.ids import new_request_id
from routing.document import problem_fields
from routing.middleware import API
from routing.taking import TAKEN_ENOUGH, WITHIN_S, Taking, narrow, reset

__all__ = ["HttpProtocol"]

log = structlog.get_logger(__name__)

HEAD_BYTES: Final = 32 * 1024
UNREADABLE: Final = "this is no HTTP request that can be read"
HEAD_TOO_LARGE: Final = "the request line and headers are larger than 32 kB"


class HttpProtocol(HttpToolsProtocol):
    """A head is a request line and its headers; it may take 15 s and 32 kB. For an answer see `Taking`."""

    head_within_s = 15.0
    take_within_s = WITHIN_S

    _is_in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _refusal = HTTPStatus.BAD_REQUEST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self._taking = Taking(transport, within_s=self.take_within_s, give_up=self._give_up)
        narrow(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._taking.stop()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taking.rest()

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            if self._head_bytes > HEAD_BYTES:
                self._unset_keepalive_if_required()
                self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self.send_400_response("")
                return
            self._head_bytes += len(data)
            self._expect_head()
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._become_socket(after_head=data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TAKEN_ENOUGH: {"wait": self.flow.drain}}
        self._counted_bytes = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        if b"#" in url:
            # RFC 9112, section 3.2: a target has no fragment. The parser would drop it, and what follows.
            raise httptools.HttpParserError("a fragment in the request target")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._see_off()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._see_off()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request we read, as every other refusal, and close.

        What was wrong decides what is said, not uvicorn's own `msg`.
        """
        del msg
        self._stop_timer()
        status = self._refusal
        detail = UNREADABLE if status is HTTPStatus.BAD_REQUEST else HEAD_TOO_LARGE
        request_id = new_request_id()
        log.debug("request_unreadable", request_id=request_id, status=int(status))
        document = problem_fields(code="invalid_request", status=status, detail=detail, request_id=request_id)
        self.transport.write(_answer(int(status), orjson.dumps(document), request_id))
        self._close()

    def _should_upgrade(self) -> bool:
        """Any other upgrade is answered as if it had not been asked for.

        So is one of an older HTTP, and one that comes while the request before it is still answered: whoever
        answers that would write into the socket, and never hear that its client has gone.
        """
        is_wanted: bool = super()._should_upgrade()
        before: RequestResponseCycle | None = self.cycle
        is_free = before is None or before.response_complete
        return is_wanted and is_free and self.parser.get_http_version() == "1.1"

    def _become_socket(self, *, after_head: bytes) -> None:
        self._taking.stop()
        self.handle_websocket_upgrade()
        if after_head and not self.transport.is_closing():
            protocol = self.transport.get_protocol()
            assert isinstance(protocol, asyncio.Protocol)  # noqa: S101 - the one that was set just now
            protocol.data_received(after_head)

    def _count(self, *parts: bytes) -> None:
        self._counted_bytes += sum(map(len, parts))
        if self._counted_bytes > HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise httptools.HttpParserError(HEAD_TOO_LARGE)

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_within_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._see_off()

    def _see_off(self) -> None:
        """A connection that is closed ends once all is taken; whoever takes nothing is not waited for."""
        if self.transport.is_closing():
            self._taking.watch()

    def _give_up(self) -> None:
        # To whoever answers it looks like a client that has left.
        reset(self.transport)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _answer(status: int, body: bytes, request_id: str) -> bytes:
    headers = {
        **API,
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "X-Request-Id": request_id,
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[status] + lines.encode("ascii") + b"\r\n" + body
