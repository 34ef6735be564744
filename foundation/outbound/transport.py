"""How one guarded request travels: an HTTP/1.1 pool whose sockets are opened by the guard.

No proxy, no cookies, no `.netrc`, no retries: nothing of the environment or of an earlier request leaks in.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator

import httpcore2
import httpx2

from foundation.outbound.body import direct_body
from foundation.outbound.connect import GuardedNetwork
from foundation.outbound.errors import OutboundFailed
from foundation.outbound.resolve import Resolver

__all__ = ["GuardedTransport"]


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
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        if not isinstance(answer.stream, AsyncIterable):
            raise OutboundFailed("the answer cannot be read asynchronously")
        body = direct_body(answer, request) or _Body(answer.stream)
        return httpx2.Response(answer.status, headers=answer.headers, stream=body, request=request)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        if (close := getattr(self._stream, "aclose", None)) is not None:
            await close()
