"""How the server fetches from the outside: one guarded client for tools, key sets and webhooks.

Every hop is judged by its text (`targets`), by the addresses its name has (`connect`), by its redirects
(`redirects`), by its size after decompression (`exchange`) and by one time limit over all of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from foundation.errors import InvalidRequest
from foundation.outbound.errors import BlockedAddress, OutboundFailed, OutboundTimeout
from foundation.outbound.messages import Fetched, Request
from foundation.outbound.redirects import after_redirect, is_redirect
from foundation.outbound.resolve import Resolver, SystemResolver
from foundation.outbound.targets import read_target

if TYPE_CHECKING:
    import httpx2

    from foundation.outbound.transport import GuardedTransport

__all__ = ["Outbound"]

MAX_REDIRECTS: Final = 5
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# These belong to the connection, or let a caller talk to another host than the one that was judged.
RESERVED_HEADERS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"}
)


class Outbound:
    """A service: usable between `start` and `stop`. The HTTP library is loaded by the first fetch."""

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        extra_ca_file: Path | None = None,
        max_connections: int = 100,
    ) -> None:
        """
        Args:
            resolver: None for the machine's own.
            ssl_context: None to trust the usual certificate authorities.
            extra_ca_file: authorities to trust beside them, as PEM.
        """
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._extra_ca_file = extra_ca_file
        self._max_connections = max_connections
        self._own_resolver: SystemResolver | None = None
        self._is_open = False
        self._opening = asyncio.Lock()
        # Two pools, so that a connection the operator's own address opened is never lent to a stranger's URL.
        self._transports: dict[bool, GuardedTransport] = {}
        self._tls: ssl.SSLContext | None = None

    async def start(self) -> None:
        self._is_open = True

    async def drain(self) -> None:
        """Nothing to hand over: whoever fetches is drained itself."""

    async def stop(self) -> None:
        async with self._opening:
            self._is_open = False
            while self._transports:
                _, transport = self._transports.popitem()
                await transport.aclose()
        if self._own_resolver is not None:
            self._own_resolver.close()

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = 1_000_000,
        allow_private: bool = False,
        may_follow: Callable[[str], bool] | None = None,
    ) -> Fetched:
        """Ask for `url` and read the whole answer. Retries nothing but reads over kept connections.

        Args:
            timeout_s: for everything together: lookup, redirects and the last byte.
            max_bytes: of the body, after decompression.
            allow_private: only for an address the operator configured; a redirect to another origin loses it.
            may_follow: is asked for the URL of each redirect before it is; None for wherever it is safe.

        Raises:
            BlockedAddress: the URL, one of its addresses or a redirect is not allowed.
            InvalidRequest: the method or a header is not the caller's to set.
            OutboundFailed: it could not be reached, took too long (`OutboundTimeout`), answered too much
                (`AnswerTooLarge`) or nonsense.
        """
        own = {name.lower(): value for name, value in (headers or {}).items()}
        _check_request(method, own)
        await self._open()
        target = read_target(url, allow_private=allow_private)
        request = Request(target, method, own, body, allow_private)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(
                    request, timeout_s=timeout_s, max_bytes=max_bytes, may_follow=may_follow
                )
        except TimeoutError as error:
            raise OutboundTimeout(host=target.host, timeout_s=timeout_s) from error

    async def session(self, *, allow_private: bool, max_connections: int = 100) -> httpx2.AsyncClient:
        """A client of its own pool for a library that speaks a protocol over HTTP; whoever asks closes it.

        Every request is judged as a fetch's hop is; redirects are answered, not followed. Its errors are the
        HTTP library's own, and `BlockedAddress`.

        Args:
            allow_private: only for an address the operator configured.

        Raises:
            OutboundFailed: before the start or after the end.
        """
        await self._open()
        from foundation.outbound.session import open_session

        transport = self._transport(allow_private=allow_private, max_connections=max_connections)
        return open_session(transport, allow_private=allow_private)

    async def _follow(
        self,
        request: Request,
        *,
        timeout_s: float,
        max_bytes: int,
        may_follow: Callable[[str], bool] | None,
    ) -> Fetched:
        from foundation.outbound.exchange import exchange

        for _ in range(MAX_REDIRECTS + 1):
            if (transport := self._transports.get(request.allow_private)) is None:
                raise OutboundFailed("the server is stopping; nothing more is fetched")
            answer = await exchange(transport, request, timeout_s=timeout_s, max_bytes=max_bytes)
            if not is_redirect(answer.status, answer.headers):
                return answer
            request = after_redirect(request, status=answer.status, location=answer.headers["location"])
            if may_follow is not None and not may_follow(str(request.target.url)):
                raise BlockedAddress(f"it redirects to {request.target.host}, which may not be fetched here")
        raise OutboundFailed(f"{request.target.host} redirects more than {MAX_REDIRECTS} times")

    async def _open(self) -> None:
        """Load the library and the certificates beside the event loop, once."""
        async with self._opening:
            if not self._is_open:
                raise OutboundFailed("nothing can be fetched before the start or after the end")
            if not self._transports:
                self._transports = await asyncio.to_thread(self._transports_opened)

    def _transports_opened(self) -> dict[bool, GuardedTransport]:
        from httpx2 import create_ssl_context

        self._tls = self._ssl_context or create_ssl_context(trust_env=False)
        if self._extra_ca_file is not None:
            self._tls.load_verify_locations(cafile=self._extra_ca_file)
        return {
            allow_private: self._transport(allow_private=allow_private, max_connections=self._max_connections)
            for allow_private in (False, True)
        }

    def _transport(self, *, allow_private: bool, max_connections: int) -> GuardedTransport:
        from foundation.outbound.transport import GuardedTransport

        assert self._tls is not None  # noqa: S101 - opened before
        if (resolver := self._resolver) is None:
            resolver = self._own_resolver = self._own_resolver or SystemResolver()
        return GuardedTransport(
            resolver, ssl_context=self._tls, allow_private=allow_private, max_connections=max_connections
        )


def _check_request(method: str, headers: Mapping[str, str]) -> None:
    if method not in METHODS:
        raise InvalidRequest(f"the method must be one of {', '.join(sorted(METHODS))}")
    for name, value in headers.items():
        if name in RESERVED_HEADERS or name.startswith("proxy-"):
            raise InvalidRequest(f"the header {name[:40]} may not be set")
        if any(character in value for character in "\r\n\0"):
            raise InvalidRequest(f"the header {name[:40]} may not contain line breaks")
