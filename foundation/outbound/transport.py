"""How one guarded request travels: an HTTP/1.1 pool whose sockets are opened by the guard.

No proxy, no cookies, no `.netrc`: nothing of the environment or of an earlier request leaks in. Nothing is
retried but this: a server may close a connection that was kept in the very moment in which it is used again,
and what only reads is then asked for over another one (RFC 9110, 9.2.2).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, MutableMapping
from typing import Any

import httpcore2
import httpx2

from foundation.outbound.body import direct_body
from foundation.outbound.connect import GuardedNetwork
from foundation.outbound.errors import OutboundFailed
from foundation.outbound.resolve import Resolver

__all__ = ["GuardedTransport"]

READS = frozenset({"GET", "HEAD"})


class GuardedTransport(httpx2.AsyncBaseTransport):
    def __init__(
        self, resolver: Resolver, *, ssl_context: ssl.SSLContext, allow_private: bool, max_connections: int
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=max_connections,
            max_keepalive_connections=max_connections // 5,
            keepalive_expiry=15.0,
            network_backend=GuardedNetwork(resolver, allow_private=allow_private),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._answer(request)
        if not isinstance(answer.stream, AsyncIterable):
            raise OutboundFailed("the answer cannot be read asynchronously")
        body = direct_body(answer, request) or _Body(answer.stream)
        return httpx2.Response(answer.status, headers=answer.headers, stream=body, request=request)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _answer(self, request: httpx2.Request) -> httpcore2.Response:
        if request.method not in READS:
            return await self._pool.handle_async_request(_raw(request, request.extensions))
        while True:
            connection = _Connection()
            try:
                return await self._pool.handle_async_request(
                    _raw(request, {**request.extensions, "trace": connection.hear})
                )
            except (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError):
                # Each that was closed has left the pool, so that this ends with one of its own.
                if connection.is_new or connection.has_answered:
                    raise


class _Connection:
    """What the pool tells of the connection it has used."""

    def __init__(self) -> None:
        self.is_new = False
        self.has_answered = False

    # object: more of the event, which nobody here asks for.
    async def hear(self, event: str, _more: object) -> None:
        self.is_new |= event == "connection.connect_tcp.started"
        self.has_answered |= event == "http11.receive_response_headers.complete"


# Any: the library's own type.
def _raw(request: httpx2.Request, extensions: MutableMapping[str, Any]) -> httpcore2.Request:
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=extensions,
    )


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()
