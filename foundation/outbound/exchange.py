"""How one hop is asked and read: limits on the way in, one error on the way out.

Loaded with the HTTP library at the first fetch; nothing of it is imported at the start.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

import httpcore2
import httpx2

from foundation.errors import InvalidRequest
from foundation.outbound.errors import AnswerTooLarge, OutboundFailed
from foundation.outbound.messages import Fetched, Request
from foundation.outbound.redirects import is_redirect
from foundation.outbound.transport import GuardedTransport

__all__ = ["exchange"]

CONNECT_S: Final = 5.0
OWN_HEADERS: Final = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "switchyard"}
TRANSPORT_ERRORS: Final = (
    httpx2.DecodingError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)


async def exchange(
    transport: GuardedTransport, request: Request, *, timeout_s: float, max_bytes: int
) -> Fetched:
    """The answer to one hop; a redirect's body is not read.

    Raises:
        BlockedAddress, InvalidRequest, OutboundFailed: as `Outbound.fetch` says.
    """
    outgoing = _outgoing(request, timeout_s)
    try:
        answer = await transport.handle_async_request(outgoing)
        async with aclosing(answer):
            redirects = is_redirect(answer.status_code, answer.headers)
            body = b"" if redirects else await _read(answer, request, max_bytes=max_bytes)
    except TRANSPORT_ERRORS as error:
        raise OutboundFailed(f"{request.target.host} could not be asked: {type(error).__name__}") from error
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Fetched(answer.status_code, headers, body, str(request.target.url))


def _outgoing(request: Request, timeout_s: float) -> httpx2.Request:
    connect_s = min(CONNECT_S, timeout_s)
    limits = {"connect": connect_s, "read": timeout_s, "write": timeout_s, "pool": timeout_s}
    try:
        return httpx2.Request(
            request.method,
            request.target.url,
            headers=OWN_HEADERS | dict(request.headers),
            content=request.body,
            extensions={"timeout": limits},
        )
    except ValueError as error:
        raise InvalidRequest("a header may only contain ASCII characters") from error


async def _read(answer: httpx2.Response, request: Request, *, max_bytes: int) -> bytes:
    declared = answer.headers.get("content-length", "0")
    too_large = AnswerTooLarge(host=request.target.host, max_bytes=max_bytes)
    if request.method != "HEAD" and declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    # The decoder hands out at most 1 MiB at a time, so a bomb is noticed before it is unpacked.
    async with aclosing(answer.aiter_bytes()) as parts:
        async for part in parts:
            body += part
            if len(body) > max_bytes:
                raise too_large
    return bytes(body)
