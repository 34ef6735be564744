"""The public door of a server, as a client sees it: documents, and streams of messages.

One try each: what did not work is `Lost` when it may work in a moment and `Refused` when it will not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import orjson

from commands.lines import sse_messages
from commands.run.refused import Lost, Refused, judge
from commands.run.words import Message, one_line

__all__ = ["Door", "Opened", "open_door", "run_id_of"]

CONNECT_WITHIN_S: Final = 5.0
# The server pings every 15 s; two lost pings are a lost connection.
SILENT_AT_MOST_S: Final = 40.0
STREAM: Final = "text/event-stream"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

# Any: a document of the wire.
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that has begun; without `messages` there are no more."""

    run_id: str
    messages: AsyncIterator[Message] | None


class Door:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(self, path: str, *, method: str = "GET") -> Document:
        """The document at `path`."""
        try:
            answer = await self._client.request(method, path)
        except httpx2.TransportError as error:
            raise _lost(error) from error
        if not answer.is_success:
            raise judge(answer.status_code, answer.headers, answer.content)
        return _document(answer.content)

    @asynccontextmanager
    async def submit(self, body: Document, *, key: str) -> AsyncIterator[Opened]:
        """Submit a run, or join the one that `key` has made, and read it from its beginning."""
        headers = {"Accept": STREAM, "Idempotency-Key": key, "Content-Type": "application/json"}
        content = orjson.dumps({**body, "stream": True})
        async with self._opened("POST", "/api/agent/execute", headers=headers, content=content) as answer:
            yield Opened(run_id_of(answer.headers.get("location", "")), _messages(answer))

    @asynccontextmanager
    async def follow(self, run_id: str, *, after: int) -> AsyncIterator[Opened]:
        """Read a run from the message after `after`."""
        headers = {"Accept": STREAM, "Last-Event-ID": str(after)}
        async with self._opened("GET", f"/api/runs/{run_id}/events", headers=headers) as answer:
            has_ended = answer.status_code == httpx2.codes.NO_CONTENT
            yield Opened(run_id, None if has_ended else _messages(answer))

    @asynccontextmanager
    async def _opened(
        self, method: str, path: str, *, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncIterator[httpx2.Response]:
        try:
            async with self._client.stream(method, path, headers=headers, content=content) as answer:
                if not answer.is_success:
                    raise judge(answer.status_code, answer.headers, await answer.aread())
                is_stream = answer.headers.get("content-type", "").startswith(STREAM)
                if not is_stream and answer.status_code != httpx2.codes.NO_CONTENT:
                    raise Refused(["the answer is not one of a Switchyard server; check --url"])
                yield answer
        except httpx2.TransportError as error:
            raise _lost(error) from error


@asynccontextmanager
async def open_door(url: str, credential: Mapping[str, str]) -> AsyncIterator[Door]:
    """
    Args:
        credential: the header that says who calls.

    Raises:
        Refused: `url` is no address of a server.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused([f"{one_line(url)} is no address of a server; --url wants http://host:port"])
    timeout = httpx2.Timeout(SILENT_AT_MOST_S, connect=CONNECT_WITHIN_S)
    # No proxy of the environment stands between this machine and its own address.
    is_near = parts.hostname in LOOPBACK
    async with httpx2.AsyncClient(
        base_url=url, headers=credential, timeout=timeout, trust_env=not is_near
    ) as client:
        yield Door(client)


def run_id_of(location: str) -> str:
    """
    Raises:
        Refused: the answer does not say which run it is.
    """
    head, _, run_id = location.rpartition("/api/runs/")
    if head or not run_id:
        raise Refused(["the answer does not name its run; check --url"])
    return run_id


async def _messages(answer: httpx2.Response) -> AsyncIterator[Message]:
    try:
        async for message in sse_messages(answer.aiter_lines()):
            yield message
    except httpx2.TransportError as error:
        raise _lost(error) from error
    except ValueError as error:
        # Half a line: the end of the connection came in the middle of it.
        raise Lost("a message came in pieces") from error


def _document(content: bytes) -> Document:
    try:
        document = orjson.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refused(["the answer is not one of a Switchyard server; check --url"])
    return document


def _lost(error: httpx2.TransportError) -> Lost:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Lost("no server answers there")
    if isinstance(error, httpx2.TimeoutException):
        return Lost("the server is silent")
    return Lost("the connection was lost")
