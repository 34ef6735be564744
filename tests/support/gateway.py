"""What stands before PostgREST in a Supabase project: `/rest/v1` is its place, and API keys become tokens.

    client ──/rest/v1/rpc/…, apikey: sb_secret_…──▶ gateway ──/rpc/…, Authorization: Bearer <jwt>──▶ PostgREST

A real way there, and nothing else: requests are passed on as they come, apart from their path and their
credential, and answers byte for byte.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import orjson

from tests.support.postgrest import PostgRest
from tests.support.tokens import Json

__all__ = ["KEYS_PATH", "Gateway", "fronting"]

HOST = "127.0.0.1"
REST = b"/rest/v1"
KEYS_PATH = "/auth/v1/.well-known/jwks.json"
PIECE_BYTES = 65_536
MOST_HEAD_BYTES = 65_536
# As Kong says it.
UNKNOWN_KEY = {"message": "Invalid API key", "hint": "Double check your Supabase API key."}
NO_ROUTE = {"message": "no Route matched with those values"}
NOBODY = {"message": "An invalid response was received from the upstream server"}
# As PostgREST says it from version 13 on, which reads its clock once a second.
FROM_THE_FUTURE = {"code": "PGRST303", "details": None, "hint": None, "message": "JWT issued at future"}


@dataclass
class Gateway:
    """
    Attributes:
        key: the project's secret key; `publishable` is the one that everybody may have, `legacy` and
            `anonymous` the tokens that were the keys before there were any.
        documents: what is served beside PostgREST, by path.
        asked: the paths that were asked for, in order.
        most: the most connections that were open at a time.
        early: so many of the next tokens are made before PostgREST's clock has come to their second.
    """

    postgrest: PostgRest
    key: str = field(default_factory=lambda: f"sb_secret_{secrets.token_urlsafe(24)}", repr=False)
    publishable: str = field(default_factory=lambda: f"sb_publishable_{secrets.token_urlsafe(24)}")
    legacy: str = field(default="", repr=False)
    anonymous: str = field(default="", repr=False)
    documents: dict[str, Json] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0
    most: int = 0
    early: int = 0

    def __post_init__(self) -> None:
        self.legacy = self.postgrest.token("service_role")
        self.anonymous = self.postgrest.token("anon")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its first request to its last."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            async with _Way(self.postgrest, writer) as way:
                while True:
                    await self._pass_on(reader, writer, way)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, headers = _read(head)
        method, path, version = line.split(b" ")
        self.asked.append(path.decode())
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        if (document := self.documents.get(path.decode())) is not None:
            writer.write(_answer(b"200 OK", document))
        elif not path.startswith(REST + b"/"):
            writer.write(_answer(b"404 Not Found", NO_ROUTE))
        elif (token := self._token(headers)) is None:
            writer.write(_answer(b"401 Unauthorized", UNKNOWN_KEY))
        elif self.early > 0:
            self.early -= 1
            writer.write(_answer(b"401 Unauthorized", FROM_THE_FUTURE))
        else:
            kept = {
                name: value for name, value in headers.items() if name not in {b"apikey", b"authorization"}
            }
            lines = [b"%s: %s" % each for each in {**kept, b"authorization": b"Bearer " + token}.items()]
            asked = b" ".join((method, path.removeprefix(REST), version))
            await way.send(b"\r\n".join([asked, *lines, b"", b""]) + body)
        await writer.drain()

    def _token(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """What the caller is to PostgREST: a key stands for a role, a token for a user goes over that."""
        tokens = {self.key: self.legacy, self.legacy: self.legacy, self.publishable: self.anonymous}
        token = tokens.get(headers.get(b"apikey", b"").decode())
        if token is None:
            return None
        bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return bearer if bearer and not bearer.startswith(b"sb_") else token.encode()


class _Way:
    """A connection to PostgREST, opened when it is needed; what comes back goes to the client at once."""

    def __init__(self, postgrest: PostgRest, client: asyncio.StreamWriter) -> None:
        self._postgrest = postgrest
        self._client = client
        self._writer: asyncio.StreamWriter | None = None
        self._back: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Way:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._back is not None:
            self._back.cancel()
        if self._writer is not None:
            self._writer.close()

    async def send(self, request: bytes) -> None:
        if self._writer is None:
            try:
                reader, self._writer = await asyncio.open_unix_connection(str(self._postgrest.socket))
            except OSError:
                self._client.write(_answer(b"502 Bad Gateway", NOBODY))
                return
            self._back = asyncio.create_task(self._bring(reader))
        self._writer.write(request)
        await self._writer.drain()

    async def _bring(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                self._client.write(piece)
                await self._client.drain()
        self._client.close()


@asynccontextmanager
async def fronting(postgrest: PostgRest) -> AsyncIterator[Gateway]:
    """A gateway on a port of its own, until the block ends."""
    gateway = Gateway(postgrest)
    open_ones: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        gateway.most = max(gateway.most, len(open_ones))
        try:
            await gateway.carry(reader, writer)
        finally:
            open_ones.discard(task)

    server = await asyncio.start_server(carry, HOST, 0, limit=MOST_HEAD_BYTES)
    gateway.port = server.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        server.close()
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


def _read(head: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The first line, and the headers by their names in lower case."""
    line, *rest = head.rstrip(b"\r\n").split(b"\r\n")
    pairs = (each.partition(b":")[::2] for each in rest)
    return line, {name.lower(): value.strip() for name, value in pairs}


def _answer(status: bytes, document: object) -> bytes:
    body = orjson.dumps(document)
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body
