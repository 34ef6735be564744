"""People a server has never heard of: they try credentials, paths and bodies, or speak no HTTP at all.

Each comes from an address of its own, so that whatever is kept by address is kept of all of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import httpx2

__all__ = ["Stranger"]

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW", "PROPFIND")
PATHS: Final = (
    "/api/agent/execute",
    "/api/runs",
    "/api/runs/{id}",
    "/api/runs/{id}/events",
    "/api/runs/{id}/cancel",
    "/api/conversations/{id}",
    "/api/agents/{id}",
    "/api/keys",
    "/api/credits",
    "/health/ready",
    "/metrics",
    "/{id}",
    "/api/{id}/../{id}",
)
ANSWERED_WITHIN_S: Final = 10.0
A_SERVERS_FAULT: Final = 500
SOME_BYTES: Final = 65_536


class Stranger:
    def __init__(self, urls: Sequence[str], drawn: random.Random) -> None:
        self._urls = urls
        self._random = drawn

    async def ask(self) -> None:
        """A request that is well formed and wrong.

        Raises:
            RuntimeError: it was taken for the server's fault.
        """
        transport = httpx2.AsyncHTTPTransport(local_address=self._address(), verify=False)
        url = self._random.choice(self._urls) + self._random.choice(PATHS).format(id=self._id())
        async with httpx2.AsyncClient(transport=transport, timeout=ANSWERED_WITHIN_S) as client:
            answer = await client.request(
                self._random.choice(METHODS), url, headers=self._headers(), content=self._body()
            )
        if answer.status_code >= A_SERVERS_FAULT and answer.status_code != httpx2.codes.NOT_IMPLEMENTED:
            raise RuntimeError(f"{answer.request.method} {url} was answered {answer.status_code}")

    async def babble(self) -> None:
        """Bytes that are no request, or only half of one; then gone."""
        place = urlsplit(self._random.choice(self._urls))
        reader, writer = await asyncio.open_connection(
            place.hostname, place.port, local_addr=(self._address(), 0)
        )
        try:
            writer.write(self._bytes())
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await reader.read(SOME_BYTES)
        finally:
            writer.transport.abort()

    def _address(self) -> str:
        """A loopback address that is hardly ever used twice."""
        return ".".join(["127", *(str(self._random.randrange(1, 250)) for _ in range(3))])

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _headers(self) -> dict[str, str]:
        word = self._random.randbytes(24).hex()
        return self._random.choice(
            (
                {},
                {"authorization": f"Bearer {word}.{word}.{word}"},
                {"authorization": f"Basic {word}"},
                {"x-api-key": f"sk_{word}"},
                {"x-railway-secret": word, "x-user-id": self._id()},
                {"x-request-id": word, "traceparent": word},
                {"origin": f"https://{word}.example", "access-control-request-method": "POST"},
                {"idempotency-key": word, "prefer": word, "accept": word},
            )
        )

    def _body(self) -> bytes:
        return self._random.choice(
            (b"", b"{", b"[" * 500, b'{"agentId": "%d"}' % self._random.getrandbits(64))
        ) + self._random.randbytes(self._random.randrange(200))

    def _bytes(self) -> bytes:
        word = self._random.randbytes(12).hex().encode()
        return self._random.choice(
            (
                self._random.randbytes(300),
                b"GET /" + word + b" HTTP/9.9\r\n\r\n",
                b"POST /api/agent/execute HTTP/1.1\r\nHost: " + word + b"\r\nContent-Length: 1000\r\n\r\n{",
                b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + word,
                b"GET / HTTP/1.1\r\n" + b"x-" + word + b": a\r\n" * 200,
            )
        )
