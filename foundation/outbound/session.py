"""How a library that brings its own protocol travels: an ordinary client whose every request is guarded.

For the model provider's client and the like, which need connections, streaming and cancellation but must
reach nothing a plain fetch could not reach. Loaded with the HTTP library, not at the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import httpcore2
import httpx2

from foundation.outbound.errors import OutboundFailed
from foundation.outbound.targets import read_target
from foundation.outbound.transport import GuardedTransport

__all__ = ["open_session"]

# The narrowest first: each is told as the class a library of that protocol looks for.
AS_THE_LIBRARY_SAYS: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.ReadTimeout, httpx2.ReadTimeout),
    (httpcore2.WriteTimeout, httpx2.WriteTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ReadError, httpx2.ReadError),
    (httpcore2.WriteError, httpx2.WriteError),
    (httpcore2.NetworkError, httpx2.NetworkError),
    (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError),
    (httpcore2.ProtocolError, httpx2.ProtocolError),
    (httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol),
    (OutboundFailed, httpx2.ConnectError),
)


def open_session(transport: GuardedTransport, *, allow_private: bool) -> httpx2.AsyncClient:
    """A client without redirects, proxies, cookies kept between hosts, or anything of the environment."""
    judged = _Judged(transport, allow_private=allow_private)
    return httpx2.AsyncClient(
        transport=judged, trust_env=False, follow_redirects=False, timeout=httpx2.Timeout(30.0, connect=10.0)
    )


class _Judged(httpx2.AsyncBaseTransport):
    """Judges each URL before it is asked, as `Outbound.fetch` does for each hop."""

    def __init__(self, transport: GuardedTransport, *, allow_private: bool) -> None:
        self._transport = transport
        self._allow_private = allow_private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        read_target(str(request.url), allow_private=self._allow_private)
        with _told_as(request):
            answer = await self._transport.handle_async_request(request)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101 - the guarded transport makes it
        answer.stream = _Told(answer.stream, request)
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Told(httpx2.AsyncByteStream):
    """A body whose failures are told in the client's own classes."""

    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_as(self._request):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _told_as(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise _translated(error)(type(error).__name__, request=request) from error
    except (httpcore2.UnsupportedProtocol, OutboundFailed) as error:
        raise _translated(error)(str(error), request=request) from error


def _translated(error: Exception) -> type[httpx2.TransportError]:
    return next(ours for theirs, ours in AS_THE_LIBRARY_SAYS if isinstance(error, theirs))
