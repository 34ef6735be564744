"""A body in chunks that is read without the library under the pool, for whom each part passes five hands.

A streamed answer is many small chunks. The stream gives the pool the head alone; the chunks are taken off
here, and then the pool is given an empty end, so that it takes the connection back as if it had read it all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpcore2
import httpx2

from foundation.outbound.chunks import END_OF_CHUNKS, Chunks, MalformedChunks
from foundation.outbound.stream import FrugalStream

__all__ = ["direct_body"]

CHUNKED = b"chunked"
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def direct_body(answer: httpcore2.Response, request: httpx2.Request) -> httpx2.AsyncByteStream | None:
    """None unless it comes in chunks, and nothing of it was read yet."""
    stream = answer.extensions.get("network_stream")
    codings = [value.lower() for name, value in answer.headers if name.lower() == b"transfer-encoding"]
    has_body = request.method != "HEAD" and answer.status not in WITHOUT_BODY
    if not (isinstance(stream, FrugalStream) and stream.is_at_body and has_body and codings == [CHUNKED]):
        return None
    timeout_s: float | None = request.extensions.get("timeout", {}).get("read")
    return _DirectBody(stream, answer, timeout_s=timeout_s)


class _DirectBody(httpx2.AsyncByteStream):
    def __init__(self, stream: FrugalStream, answer: httpcore2.Response, *, timeout_s: float | None) -> None:
        self._stream = stream
        self._answer = answer
        self._timeout_s = timeout_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = Chunks()
        try:
            while not chunks.is_complete:
                if body := self._taken_off(chunks, await self._stream.receive(timeout_s=self._timeout_s)):
                    yield body
        except BaseException:
            # Half a body leaves a connection that nobody can use.
            await self.aclose()
            raise
        self._stream.put_back(END_OF_CHUNKS + chunks.rest)
        await self._answer.aread()

    async def aclose(self) -> None:
        await self._answer.aclose()

    def _taken_off(self, chunks: Chunks, part: bytes) -> bytes:
        if not part:
            raise httpcore2.RemoteProtocolError("the server closed before the end of its answer")
        try:
            return chunks.feed(part)
        except MalformedChunks as error:
            raise httpcore2.RemoteProtocolError(str(error)) from error
